//! The resources of core WebAssembly, one file each: engine, module, store, instance, memory, table, global, …
//!
//! It may use `vm`, `wasi` and `guest`.

pub mod artefact;
pub mod bytes;
#[cfg(feature = "compiler")]
pub mod compile;
pub mod door;
pub mod engine;
pub mod engine_config;
pub mod export;
pub mod fingerprint;
pub mod func;
pub mod global;
pub mod import;
pub mod instance;
pub mod instantiate;
pub mod linker;
pub mod memory;
pub mod module;
pub mod store;
pub mod table;
pub mod tag;
pub mod template;
pub mod typed_import;
pub mod types;
#[cfg(feature = "wat")]
pub mod wat;
