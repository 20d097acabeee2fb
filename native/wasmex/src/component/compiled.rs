//! Compiled components.

use crate::component::types::describe::Describer;
use crate::component::types::shared::Shared;
use crate::core::artefact;
#[cfg(feature = "compiler")]
use crate::core::compile::{self, Which};
use crate::core::engine::EngineResource;
use crate::vm::atoms;
use crate::vm::error::Error;
use crate::vm::live::{Kind, Live};
use crate::vm::mappings::{self, Mappings};
use crate::vm::resource::{ResourceArc, named_resource};
use rustler::{Atom, Binary, Encoder, Env, Term};
use std::sync::Arc;
use wasmtime::component::Component;

/// A compiled component.
pub struct ComponentResource {
    /// wasmtime's component.
    pub component: Component,
    /// The engine that it was compiled for.
    pub engine: ResourceArc<EngineResource>,
    /// Its types, prepared for conversion.
    pub shared: Arc<Shared>,
    _mappings: Mappings,
    _live: Live,
}

named_resource!(ComponentResource, "component");
impl std::panic::RefUnwindSafe for ComponentResource {}

/// Atoms that Elixir registered for WIT names.
type Names = Vec<(String, Atom)>;

fn resource<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    component: Component,
    names: Names,
) -> Term<'a> {
    let mappings = match Mappings::take(mappings::CODE) {
        Ok(mappings) => mappings,
        Err(error) => return Error::from(error).to_term(env),
    };
    let types = component.component_type().instance_type().types.clone();
    let names = names
        .into_iter()
        .map(|(name, atom)| (name, atom.to_term(env).as_c_arg()))
        .collect();
    let resource = ResourceArc::new(ComponentResource {
        component,
        engine,
        shared: Shared::new(types, names),
        _mappings: mappings,
        _live: Live::new(Kind::Component),
    });
    (atoms::ok(), resource).encode(env)
}

/// The bytes of a component: Elixir has already parsed text and rejected modules. The component arrives as a message,
/// see `vm/compiling.rs`.
#[cfg(feature = "compiler")]
#[rustler::nif]
fn component_compile<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    bytes: Binary<'a>,
    names: Names,
    reference: Term<'a>,
    most: usize,
    which: Which,
) -> Term<'a> {
    compile::compile(
        env,
        engine,
        bytes,
        (reference, most),
        which,
        move |env, engine, component| resource(env, engine, component, names),
    )
}

#[cfg(feature = "compiler")]
#[rustler::nif(schedule = "DirtyCpu")]
fn component_serialize<'a>(env: Env<'a>, component: ResourceArc<ComponentResource>) -> Term<'a> {
    compile::serialize(env, &component.component)
}

/// The bytes must be unaltered output of `component_serialize`: they are executed as machine code.
#[rustler::nif(schedule = "DirtyCpu")]
fn component_deserialize<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    bytes: Binary,
    names: Names,
) -> Term<'a> {
    // SAFETY: as for `module_deserialize`: the library has verified its checksum, or the caller vouches for the bytes.
    match unsafe { artefact::deserialize(&engine.engine, bytes.as_slice()) } {
        Ok(component) => resource(env, engine, component, names),
        Err(error) => error.to_term(env),
    }
}

/// The same for a file, which is memory-mapped, not copied. It must not be modified while in use.
#[rustler::nif(schedule = "DirtyIo")]
fn component_deserialize_file<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    path: &str,
    names: Names,
) -> Term<'a> {
    // SAFETY: `mix compile` wrote the file next to the project's code, and it is trusted like that code.
    match unsafe { Component::deserialize_file(&engine.engine, path) } {
        Ok(component) => resource(env, engine, component, names),
        Err(error) => Error::chain(atoms::artefact(), &error).to_term(env),
    }
}

/// The same component, with atoms for names.
#[rustler::nif]
fn component_named<'a>(
    env: Env<'a>,
    component: ResourceArc<ComponentResource>,
    names: Names,
) -> Term<'a> {
    let engine = component.engine.clone();
    resource(env, engine, component.component.clone(), names)
}

#[rustler::nif]
fn component_engine(component: ResourceArc<ComponentResource>) -> ResourceArc<EngineResource> {
    component.engine.clone()
}

/// The size of the machine code in bytes.
#[rustler::nif]
fn component_code_size(component: ResourceArc<ComponentResource>) -> usize {
    component.component.text().len()
}

/// `{imports, exports}`, each `[{name, item}]` in the component's order.
#[rustler::nif(schedule = "DirtyCpu")]
fn component_describe<'a>(env: Env<'a>, component: ResourceArc<ComponentResource>) -> Term<'a> {
    let engine = &component.engine.engine;
    let ty = component.component.component_type();
    let mut describer = Describer::new(env, engine);
    let imports: Vec<Term> = ty
        .imports(engine)
        .map(|(name, item)| (name, describer.item(&item.ty)).encode(env))
        .collect();
    let exports: Vec<Term> = ty
        .exports(engine)
        .map(|(name, item)| (name, describer.item(&item.ty)).encode(env))
        .collect();
    (imports, exports).encode(env)
}
