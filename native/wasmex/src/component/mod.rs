//! The component model: typed calls on the same store cell and with the same steps as core modules.
//!
//! The last room: it may use all others. README.md in this folder tells how values cross. `internal.rs` alone names what
//! wasmtime does not promise to keep.

pub mod abi;
pub mod call;
pub mod compiled;
pub mod http;
pub mod import;
pub mod instance;
pub mod instantiate;
mod internal;
pub mod lift;
pub mod lower;
pub mod mapping;
pub mod problem;
pub mod resource;
pub mod signature;
pub mod state;
pub mod template;
pub mod types;
mod wave;
pub mod wit;
