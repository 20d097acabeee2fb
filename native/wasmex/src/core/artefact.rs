//! Loading artefacts, the same for modules and components.

use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

/// A compiled module or component.
pub trait Compiled: Sized + Send + 'static {
    /// The kind of its artefacts.
    const KIND: Precompiled;

    /// Compiles the binary format.
    #[cfg(feature = "compiler")]
    fn from_binary(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self>;

    /// The artefact.
    #[cfg(feature = "compiler")]
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

    #[cfg(feature = "compiler")]
    fn from_binary(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Module::from_binary(engine, bytes)
    }

    #[cfg(feature = "compiler")]
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

    #[cfg(feature = "compiler")]
    fn from_binary(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Component::from_binary(engine, bytes)
    }

    #[cfg(feature = "compiler")]
    fn to_artefact(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    unsafe fn from_artefact(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        // SAFETY: as above.
        unsafe { Component::deserialize(engine, bytes) }
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
