//! Compiled modules.

use crate::core::artefact;
#[cfg(feature = "compiler")]
use crate::core::compile::{self, Which};
use crate::core::engine::EngineResource;
use crate::core::memory;
use crate::core::types;
use crate::vm::atoms;
use crate::vm::error::Error;
use crate::vm::live::{Kind, Live};
use crate::vm::mappings::{self, Mappings};
use crate::vm::resource::{ResourceArc, named_resource};
use rustler::{Binary, Encoder, Env, Term};
use std::sync::Arc;
use wasmtime::{ExternType, Module};

/// A compiled module.
pub struct ModuleResource {
    /// wasmtime's module.
    pub module: Module,
    /// The engine that it was compiled for.
    pub engine: ResourceArc<EngineResource>,
    /// The name of its memory, see [`memory::name`].
    pub memory: Option<Arc<str>>,
    /// Whether it is a reactor: `_initialize` is called when an instance is made.
    pub initializes: bool,
    _mappings: Mappings,
    _live: Live,
}

named_resource!(ModuleResource, "module");
impl std::panic::RefUnwindSafe for ModuleResource {}

impl ModuleResource {
    /// The number of its imports.
    pub fn imports(&self) -> usize {
        self.module.imports().len()
    }
}

fn initializes(module: &Module) -> bool {
    match module.get_export("_initialize") {
        Some(ExternType::Func(ty)) => ty.params().len() + ty.results().len() == 0,
        _ => false,
    }
}

fn resource<'a>(env: Env<'a>, engine: ResourceArc<EngineResource>, module: Module) -> Term<'a> {
    let mappings = match Mappings::take(mappings::CODE) {
        Ok(mappings) => mappings,
        Err(error) => return Error::from(error).to_term(env),
    };
    let resource = ResourceArc::new(ModuleResource {
        memory: memory::name(&module).map(Arc::from),
        initializes: initializes(&module),
        module,
        engine,
        _mappings: mappings,
        _live: Live::new(Kind::Module),
    });
    (atoms::ok(), resource).encode(env)
}

/// Binary only: Elixir has already parsed text and rejected components. The module arrives as a message, see
/// `vm/compiling.rs`.
#[cfg(feature = "compiler")]
#[rustler::nif]
fn module_compile<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    bytes: Binary<'a>,
    reference: Term<'a>,
    most: usize,
    which: Which,
) -> Term<'a> {
    compile::compile(env, engine, bytes, (reference, most), which, resource)
}

#[cfg(feature = "compiler")]
#[rustler::nif(schedule = "DirtyCpu")]
fn module_serialize<'a>(env: Env<'a>, module: ResourceArc<ModuleResource>) -> Term<'a> {
    compile::serialize(env, &module.module)
}

/// The bytes must be unaltered output of `module_serialize`: they are executed as machine code.
#[rustler::nif(schedule = "DirtyCpu")]
fn module_deserialize<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    bytes: Binary,
) -> Term<'a> {
    // SAFETY: the caller vouches for the bytes. `Wasmex.Module.deserialize/2` verifies a checksum of its own;
    // `unsafe_deserialize/2` passes the responsibility on, as its name says.
    match unsafe { artefact::deserialize(&engine.engine, bytes.as_slice()) } {
        Ok(module) => resource(env, engine, module),
        Err(error) => error.to_term(env),
    }
}

#[rustler::nif]
fn module_name(module: ResourceArc<ModuleResource>) -> Option<String> {
    module.module.name().map(String::from)
}

#[rustler::nif]
fn module_engine(module: ResourceArc<ModuleResource>) -> ResourceArc<EngineResource> {
    module.engine.clone()
}

/// `[{name, type}]` in the module's order.
#[rustler::nif(schedule = "DirtyCpu")]
fn module_exports<'a>(env: Env<'a>, module: ResourceArc<ModuleResource>) -> Term<'a> {
    let exports = module.module.exports();
    exports
        .map(|export| (export.name(), types::external(env, &export.ty())))
        .collect::<Vec<_>>()
        .encode(env)
}

/// `[{namespace, name, type}]` in the module's order.
#[rustler::nif(schedule = "DirtyCpu")]
fn module_imports<'a>(env: Env<'a>, module: ResourceArc<ModuleResource>) -> Term<'a> {
    let imports = module.module.imports();
    imports
        .map(|import| {
            (
                import.module(),
                import.name(),
                types::external(env, &import.ty()),
            )
        })
        .collect::<Vec<_>>()
        .encode(env)
}

/// The size of the machine code in bytes.
#[rustler::nif]
fn module_code_size(module: ResourceArc<ModuleResource>) -> usize {
    module.module.text().len()
}
