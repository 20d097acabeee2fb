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
    pub flat: Option<FlatTypes>,
}

/// The most scalars that are passed without an image of their memory.
pub const MAX_FLAT: usize = 8;

/// Types whose values are one core value each.
pub struct FlatTypes {
    /// A borrowed handle of a guest's resource, before the others: the receiver of a method.
    pub receiver: Option<(ResourceType, InterfaceType)>,
    /// The others.
    pub scalars: Box<[Scalar]>,
}

impl FlatTypes {
    /// These types, with the resources in them; `None` if one is of another kind, or if there are too many.
    pub fn of(types: &[InterfaceType], resources: &Resources) -> Option<Self> {
        let receiver = match types {
            [ty @ InterfaceType::Borrow(table), ..] => match resources.get(table)? {
                (resource, None) => Some((*resource, *ty)),
                _ => return None,
            },
            _ => None,
        };
        let scalars = types.iter().skip(receiver.iter().count());
        let scalars: Box<[Scalar]> = scalars.map(|ty| Scalar::of(*ty)).collect::<Option<_>>()?;
        (scalars.len() <= MAX_FLAT).then_some(FlatTypes { receiver, scalars })
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
