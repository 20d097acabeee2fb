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

    /// Its size in memory: code, data, and what it says about them.
    fn size(&self) -> usize;

    /// Writes the contents of its memories to the files that instances map. The first instance would do it otherwise.
    fn write_images(&self) -> wasmtime::Result<()>;
}

/// Beyond this size the contents of memories are written when code is loaded: the first instance may be made on a normal
/// scheduler, where writing them takes too long. Smaller code that nobody runs takes no file descriptor.
const LARGE: usize = 1024 * 1024;

/// Prepares code for its first instance. It is called where it may take long.
pub fn prepared<C: Compiled>(code: C) -> wasmtime::Result<C> {
    if code.size() > LARGE {
        code.write_images()?;
    }
    Ok(code)
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

    fn size(&self) -> usize {
        let range = self.image_range();
        range.end.addr().saturating_sub(range.start.addr())
    }

    fn write_images(&self) -> wasmtime::Result<()> {
        self.initialize_copy_on_write_image()
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

    fn size(&self) -> usize {
        let range = self.image_range();
        range.end.addr().saturating_sub(range.start.addr())
    }

    fn write_images(&self) -> wasmtime::Result<()> {
        self.initialize_copy_on_write_image()
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
    let code = code.and_then(prepared);
    code.map_err(|error| Error::chain(atoms::artefact(), &error))
}
