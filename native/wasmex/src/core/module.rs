//! Compiled modules.

use crate::core::door;
use crate::core::engine::EngineResource;
use crate::core::types;
use crate::vm::atoms;
use crate::vm::compiling;
use crate::vm::error::Error;
use crate::vm::live::{Kind, Live};
use crate::vm::mappings::{self, Mappings};
use crate::vm::term_box::TermBox;
use crate::vm::terms;
use rustler::{Binary, Encoder, Env, NifResult, Resource, ResourceArc, Term};
use wasmtime::{Engine, Module, Precompiled};

/// A compiled module.
pub struct ModuleResource {
    /// wasmtime's module.
    pub module: Module,
    /// The engine that it was compiled for.
    pub engine: ResourceArc<EngineResource>,
    _mappings: Mappings,
    _live: Live,
}

impl Resource for ModuleResource {}
impl std::panic::RefUnwindSafe for ModuleResource {}

fn resource<'a>(env: Env<'a>, engine: ResourceArc<EngineResource>, module: Module) -> Term<'a> {
    let mappings = match Mappings::take(mappings::CODE) {
        Ok(mappings) => mappings,
        Err(error) => return Error::from(error).to_term(env),
    };
    let resource = ResourceArc::new(ModuleResource {
        module,
        engine,
        _mappings: mappings,
        _live: Live::new(Kind::Module),
    });
    (atoms::ok(), resource).encode(env)
}

/// Wasm bytes only: Elixir has turned text into bytes and told components apart. The module comes as a message, see
/// `vm/compiling.rs`.
#[rustler::nif]
fn module_compile<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    bytes: Binary<'a>,
    reference: Term<'a>,
    most: usize,
) -> Term<'a> {
    let code = TermBox::new(bytes.to_term(env));
    let made_for = engine.clone();
    compiling::begin(
        env,
        (reference, most),
        bytes.len(),
        move || {
            door::binary(code.bytes(), &engine.limits)?;
            compiling::checked(Module::from_binary(&engine.engine, code.bytes()))
        },
        move |env, module| resource(env, made_for, module),
    )
}

#[rustler::nif(schedule = "DirtyCpu")]
fn module_serialize<'a>(env: Env<'a>, module: ResourceArc<ModuleResource>) -> NifResult<Term<'a>> {
    Ok(match module.module.serialize() {
        Ok(artefact) => (atoms::ok(), terms::binary(env, &artefact)).encode(env),
        Err(error) => Error::chain(atoms::artefact(), &error).to_term(env),
    })
}

/// The bytes must come from `module_serialize`, unaltered: they are run as machine code.
#[rustler::nif(schedule = "DirtyCpu")]
fn module_deserialize<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    bytes: Binary,
) -> Term<'a> {
    if !matches!(
        Engine::detect_precompiled(bytes.as_slice()),
        Some(Precompiled::Module)
    ) {
        return Error::text(
            atoms::artefact(),
            "failed to parse precompiled artifact as an ELF",
        )
        .to_term(env);
    }
    // SAFETY: the caller vouches for the bytes; `Wasmex.Module.deserialize/2` does so by a checksum
    // it made itself, `unsafe_deserialize/2` hands the duty on, as its name says.
    match unsafe { Module::deserialize(&engine.engine, bytes.as_slice()) } {
        Ok(module) => resource(env, engine, module),
        Err(error) => Error::chain(atoms::artefact(), &error).to_term(env),
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

/// Bytes of machine code.
#[rustler::nif]
fn module_code_size(module: ResourceArc<ModuleResource>) -> usize {
    module.module.text().len()
}
