//! The signature of a component's function, prepared once.

use crate::component::internal::{InterfaceType, TypeResourceTableIndex};
use crate::component::types::scalar::Scalar;
use crate::component::types::shape::Shape;
use std::sync::Arc;
use wasmtime::component::{Func, ResourceType};

/// Resources, by table: the type, and its id if Elixir implements it.
#[derive(Default)]
pub struct Resources(Box<[(TypeResourceTableIndex, ResourceForm)]>);

type ResourceForm = (ResourceType, Option<u32>);

impl Resources {
    /// The resource of this table.
    pub fn get(&self, table: &TypeResourceTableIndex) -> Option<&ResourceForm> {
        let found = self.0.binary_search_by_key(table, |(table, _)| *table);
        found.ok().map(|index| &self.0[index].1)
    }
}

impl FromIterator<(TypeResourceTableIndex, ResourceForm)> for Resources {
    fn from_iter<I: IntoIterator<Item = (TypeResourceTableIndex, ResourceForm)>>(all: I) -> Self {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(table, _)| *table);
        Resources(all.into())
    }
}

/// The types of parameters or results.
pub struct TypeList {
    /// The types as a tuple.
    pub shape: Arc<Shape>,
    /// The resources in them.
    pub resources: Resources,
    /// The same types, if each value is one core value.
    pub flat: Option<Box<[Flat]>>,
}

/// The most values that are passed without an image of their memory.
pub const MAX_FLAT: usize = 8;

/// A type whose values are one core value each.
pub enum Flat {
    /// A number, and the like.
    Scalar(Scalar),
    /// A borrowed handle of a guest's resource, as the first of a list: the receiver of a method.
    Receiver(ResourceType, InterfaceType),
}

impl Flat {
    /// Each of these types, with the resources in them; `None` if one is of another kind, or if there are too many.
    pub fn list(types: &[InterfaceType], resources: &Resources) -> Option<Box<[Flat]>> {
        if types.len() > MAX_FLAT {
            return None;
        }
        let flat = |(index, ty): (usize, &InterfaceType)| match ty {
            InterfaceType::Borrow(table) if index == 0 => match resources.get(table) {
                Some((resource, None)) => Some(Flat::Receiver(*resource, *ty)),
                _ => None,
            },
            ty => Scalar::of(*ty).map(Flat::Scalar),
        };
        types.iter().enumerate().map(flat).collect()
    }
}

/// How a function's result is passed to the host.
pub enum ResultForm {
    /// There is none.
    Nothing,
    /// As one core value.
    Scalar(Scalar),
    /// As any value.
    Other,
}

/// A function with its types.
pub struct Signature {
    /// wasmtime's function, valid in the instance's store.
    pub func: Func,
    /// The types of its parameters.
    pub params: TypeList,
    /// Their names.
    pub names: Vec<String>,
    /// Its result.
    pub result: ResultForm,
}

impl Signature {
    /// The name of a parameter, for error messages.
    pub fn param(&self, index: usize) -> &str {
        self.names.get(index).map_or("", String::as_str)
    }
}
