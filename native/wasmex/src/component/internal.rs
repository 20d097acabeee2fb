//! What wasmtime keeps for the code that its `bindgen!` generates: the types of a component as its compiler sees them,
//! and the contexts in which values are lifted and lowered.
//!
//! wasmtime promises nothing about it from one version to the next, so no other file names it. What is used here:
//!
//! | name | for |
//! |---|---|
//! | `InterfaceType`, `ComponentTypes`, `CanonicalAbiInfo` | the types of values and their layout |
//! | `TypeResourceTableIndex` | which resource a handle's type is about |
//! | `InstanceType` | the types of an instance while a function is checked |
//! | `LiftContext`, `LowerContext` | the guest's memory while values are converted |
//! | `StringEncoding` | how the guest encodes strings |

pub use wasmtime::component::__internal::wasmtime_environ::component::{
    StringEncoding, TypeResourceTableIndex,
};
pub use wasmtime::component::__internal::{
    CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType, LiftContext, LowerContext,
};
