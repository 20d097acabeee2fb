//! Writing to files.
//!
//! `descriptor.write` takes any number of bytes. wasmtime copies them all and charges fuel for each; here they are
//! written in pieces.

use super::bytes::GuestBytes;
use crate::guest::data::StoreData;
use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{ErrorCode, HostDescriptor};

/// Bytes that are copied and written at a time.
const PIECE: usize = 1 << 20;

/// The linker must allow shadowing.
pub fn add_to_linker(linker: &mut Linker<StoreData>) -> Result<()> {
    let mut files = linker.instance("wasi:filesystem/types@0.2.12")?;
    files.func_wrap_async("[method]descriptor.write", |cx, params| {
        Box::new(write(cx, params))
    })
}

type Params = (Resource<Descriptor>, GuestBytes, u64);

/// An error after the first piece ends it: the guest is told how many bytes were written, and gets the error when it
/// writes the rest, as from `pwrite` of POSIX.
async fn write(
    mut cx: StoreContextMut<'_, StoreData>,
    (file, bytes, offset): Params,
) -> Result<(std::result::Result<u64, ErrorCode>,)> {
    let mut written: usize = 0;
    loop {
        // SAFETY: this function holds the store until it returns, and runs no guest.
        let rest = unsafe { &bytes.get()[written..] };
        let piece = rest[..rest.len().min(PIECE)].to_vec();
        let (length, is_last) = (piece.len(), rest.len() <= PIECE);
        let place = offset.saturating_add(written as u64);
        let mut files = cx.data_mut().filesystem();
        let file = Resource::new_borrow(file.rep());
        match files.write(file, piece, place).await {
            Ok(count) => {
                written += (count as usize).min(length);
                if is_last || (count as usize) < length {
                    return Ok((Ok(written as u64),));
                }
            }
            Err(error) => {
                let code = error.downcast()?;
                return Ok((if written > 0 {
                    Ok(written as u64)
                } else {
                    Err(code)
                },));
            }
        }
    }
}
