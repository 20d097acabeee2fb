//! The component model: typed calls on the same store cell and with the same steps as core modules.
//!
//! It may use all layers before it. The README.md in this folder explains how values are converted. Only `internal.rs`
//! uses unstable parts of wasmtime.

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
pub mod wasi;
mod wave;
pub mod wit;
mod wit_extent;
