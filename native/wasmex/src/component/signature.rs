//! The signature of a component's function, prepared once.

use crate::component::internal::TypeResourceTableIndex;
use crate::component::types::shape::Shape;
use std::collections::HashMap;
use std::sync::Arc;
use wasmtime::component::{Func, ResourceType};

/// A resource parameter: its type, and the id of the type if Elixir implements it.
pub type Resources = HashMap<TypeResourceTableIndex, (ResourceType, Option<u32>)>;

/// The types of parameters or results.
pub struct TypeList {
    /// The types as a tuple.
    pub shape: Arc<Shape>,
    /// The resources in them.
    pub resources: Resources,
}

/// A function and its parameters.
pub struct Signature {
    /// wasmtime's function, valid in the instance's store.
    pub func: Func,
    /// The types of its parameters.
    pub params: TypeList,
    /// Their names.
    pub names: Vec<String>,
}

impl Signature {
    /// The name of a parameter, for error messages.
    pub fn param(&self, index: usize) -> &str {
        self.names.get(index).map_or("", String::as_str)
    }
}
