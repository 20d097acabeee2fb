//! Compiling code and loading artefacts, the same for modules and components.

use crate::core::door;
use crate::core::engine::EngineResource;
use crate::vm::atoms;
use crate::vm::compiling;
use crate::vm::error::{Error, Result};
use crate::vm::resource::ResourceArc;
use crate::vm::term_box::TermBox;
use crate::vm::terms;
use rustler::{Binary, Encoder, Env, Term};
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

/// A compiled module or component.
pub trait Compiled: Sized + Send + 'static {
    /// The kind of its artefacts.
    const KIND: Precompiled;

    /// Compiles the binary format.
    fn from_binary(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self>;

    /// The artefact.
    fn to_artefact(&self) -> wasmtime::Result<Vec<u8>>;

    /// Loads an artefact.
    ///
    /// # Safety
    ///
    /// The bytes are an unaltered artefact of wasmtime: they are run as machine code.
    unsafe fn from_artefact(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self>;
}

impl Compiled for Module {
    const KIND: Precompiled = Precompiled::Module;

    fn from_binary(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Module::from_binary(engine, bytes)
    }

    fn to_artefact(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    unsafe fn from_artefact(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        // SAFETY: the caller's.
        unsafe { Module::deserialize(engine, bytes) }
    }
}

impl Compiled for Component {
    const KIND: Precompiled = Precompiled::Component;

    fn from_binary(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Component::from_binary(engine, bytes)
    }

    fn to_artefact(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    unsafe fn from_artefact(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        // SAFETY: as above.
        unsafe { Component::deserialize(engine, bytes) }
    }
}

/// Starts compiling `bytes` for the calling process, which gets the result of `made` as a message, see
/// `vm/compiling.rs`. `(reference, most)` are the message's reference and the maximum number of waiting and running
/// compiles.
pub fn compile<'a, C: Compiled>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    bytes: Binary<'a>,
    (reference, most): (Term<'a>, usize),
    made: impl for<'b> FnOnce(Env<'b>, ResourceArc<EngineResource>, C) -> Term<'b> + Send + 'static,
) -> Term<'a> {
    let code = TermBox::new(bytes.to_term(env));
    let made_for = engine.clone();
    compiling::begin(
        env,
        (reference, most),
        bytes.len(),
        move || {
            door::binary(code.bytes(), &engine.limits)?;
            compiling::checked(C::from_binary(&engine.engine, code.bytes()))
        },
        move |env, code| made(env, made_for, code),
    )
}

/// `{:ok, artefact}`, or an error.
pub fn serialize<'a>(env: Env<'a>, code: &impl Compiled) -> Term<'a> {
    match code.to_artefact() {
        Ok(artefact) => (atoms::ok(), terms::binary(env, &artefact)).encode(env),
        Err(error) => Error::chain(atoms::artefact(), &error).to_term(env),
    }
}

/// Loads an artefact after checking its header.
///
/// # Safety
///
/// As for [`Compiled::from_artefact`].
pub unsafe fn deserialize<C: Compiled>(engine: &Engine, bytes: &[u8]) -> Result<C> {
    if Engine::detect_precompiled(bytes) != Some(C::KIND) {
        let text = "failed to parse precompiled artifact as an ELF";
        return Err(Error::text(atoms::artefact(), text));
    }
    // SAFETY: the caller's.
    let code = unsafe { C::from_artefact(engine, bytes) };
    code.map_err(|error| Error::chain(atoms::artefact(), &error))
}
