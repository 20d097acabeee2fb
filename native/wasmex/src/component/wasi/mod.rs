//! Functions of WASI 0.2 that leave large values where they are, in place of wasmtime's, which convert them at once.

mod bytes;
mod datagrams;
mod environment;
mod files;
mod random;

use crate::guest::data::StoreData;
use crate::wasi::p2;
use wasmtime::Result;
use wasmtime::component::Linker;

/// WASI 0.2 with these functions.
pub fn add_to_linker(linker: &mut Linker<StoreData>) -> Result<()> {
    p2::add_to_linker(linker)?;
    environment::add_to_linker(linker)?;
    files::add_to_linker(linker)?;
    datagrams::add_to_linker(linker)?;
    random::add_to_linker(linker)
}
