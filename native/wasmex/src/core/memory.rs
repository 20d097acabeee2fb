//! Linear memories.

use crate::guest::access;
use crate::guest::cell::StoreCell;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::error::{Error, Result};
use crate::vm::fast_nif::fast_nif;
use crate::vm::host_error::host_error;
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{Argument, ResourceArc, named_resource};
use crate::vm::terms;
use rustler::{Binary, Encoder, Env, NifResult, Term};
use std::ffi::CStr;
use wasmtime::{ExternType, Memory, MemoryType, Module};

/// The name that C, Rust, Go and others give a module's memory.
pub const NAME: &str = "memory";

/// The name of a module's default memory: `memory`, otherwise the first exported one. Looks through all exports.
pub fn name(module: &Module) -> Option<&str> {
    if let Some(ExternType::Memory(_)) = module.get_export(NAME) {
        return Some(NAME);
    }
    let mut exports = module.exports();
    let first = exports.find(|export| matches!(export.ty(), ExternType::Memory(_)));
    first.map(|export| export.name())
}

/// A linear memory.
pub struct MemoryResource {
    /// Its store.
    pub cell: ResourceArc<StoreCell>,
    /// wasmtime's memory.
    pub memory: Memory,
    _live: Live,
}

named_resource!(MemoryResource, "memory");
impl std::panic::RefUnwindSafe for MemoryResource {}

impl MemoryResource {
    /// A handle of this memory.
    pub fn new(cell: ResourceArc<StoreCell>, memory: Memory) -> ResourceArc<Self> {
        ResourceArc::new(MemoryResource {
            cell,
            memory,
            _live: Live::new(Kind::Memory),
        })
    }
}

host_error! {
    /// An access out of the bounds of a memory or a table.
    pub struct OutOfBounds = out_of_bounds {
        /// Its offset.
        offset: u64,
        /// Its length.
        size: u64,
        /// The size of the memory or the table.
        limit: u64,
    }
}

type Handle = ResourceArc<MemoryResource>;

/// A memory created by the host; sizes in pages.
#[rustler::nif]
fn memory_new<'a>(
    env: Env<'a>,
    cell: ResourceArc<StoreCell>,
    minimum: u64,
    maximum: Option<u64>,
    memory64: bool,
    via: Via,
) -> Term<'a> {
    access::reply(env, &cell, via, |mut cx| {
        let ty = MemoryType::builder()
            .min(minimum)
            .max(maximum)
            .memory64(memory64)
            .build();
        let memory = ty.and_then(|ty| Memory::new(&mut cx, ty));
        memory
            .map(|memory| MemoryResource::new(cell.clone(), memory))
            .map_err(|error| Error::text(atoms::limit(), error))
    })
}

#[rustler::nif]
fn memory_size<'a>(env: Env<'a>, memory: Handle, via: Via) -> Term<'a> {
    access::reply(env, &memory.cell, via, |cx| {
        Ok(memory.memory.data_size(&cx).encode(env))
    })
}

/// Returns the previous size in pages.
#[rustler::nif]
fn memory_grow<'a>(env: Env<'a>, memory: Handle, pages: u64, via: Via) -> Term<'a> {
    access::reply(env, &memory.cell, via, |mut cx| {
        let before = memory.memory.grow(&mut cx, pages);
        before
            .map(|pages| pages.encode(env))
            .map_err(|error| Error::text(atoms::grow(), error))
    })
}

/// Bytes that take too long to copy on a normal scheduler.
const LONG: u64 = 1024 * 1024;

fast_nif!(memory_read / 4);
fn memory_read<'a>(env: Env<'a>, args: [Term<'a>; 4]) -> NifResult<Term<'a>> {
    let [memory, offset, length, via] = args;
    let (offset, length) = (offset.decode()?, length.decode()?);
    // In one go: of pieces that are put together in Elixir, the VM copies all whenever they need more room.
    if length > LONG && dirty::is_normal() {
        return Ok(dirty::again(env, c"memory_read", &args));
    }
    let memory: Argument<MemoryResource> = memory.decode()?;
    Ok(access::reply(env, &memory.cell, via.decode()?, |cx| {
        let bytes = range(memory.memory.data(&cx), offset, length)?;
        copied(env, bytes.len());
        Ok(terms::binary(env, bytes))
    }))
}

/// The bytes up to the next NUL, searching at most `limit` bytes; nil if there is none.
#[rustler::nif]
fn memory_read_cstring<'a>(
    env: Env<'a>,
    memory: Handle,
    offset: u64,
    limit: u64,
    via: Via,
) -> Term<'a> {
    access::reply(env, &memory.cell, via, |cx| {
        let data = memory.memory.data(&cx);
        let rest = (data.len() as u64).saturating_sub(offset);
        let bytes = range(data, offset, limit.min(rest))?;
        copied(env, bytes.len());
        // Several times as fast as looking at each byte.
        match CStr::from_bytes_until_nul(bytes) {
            Ok(text) => Ok(terms::binary(env, text.to_bytes())),
            Err(_) => Ok(atoms::nil().encode(env)),
        }
    })
}

fast_nif!(memory_write / 4);
fn memory_write<'a>(
    env: Env<'a>,
    [memory, offset, bytes, via]: [Term<'a>; 4],
) -> NifResult<Term<'a>> {
    let memory: Argument<MemoryResource> = memory.decode()?;
    let offset: u64 = offset.decode()?;
    let bytes: Binary = bytes.decode()?;
    Ok(access::reply(env, &memory.cell, via.decode()?, |mut cx| {
        let data = memory.memory.data_mut(&mut cx);
        let size = data.len() as u64;
        let place = usize::try_from(offset)
            .ok()
            .and_then(|offset| data.get_mut(offset..offset.checked_add(bytes.len())?));
        match place {
            Some(place) => {
                copied(env, bytes.len());
                place.copy_from_slice(&bytes);
                Ok(atoms::ok().encode(env))
            }
            None => Err(OutOfBounds {
                offset,
                size: bytes.len() as u64,
                limit: size,
            }
            .into()),
        }
    }))
}

#[rustler::nif]
fn memory_store(memory: Handle) -> ResourceArc<StoreCell> {
    memory.cell.clone()
}

/// Charges the process for copying: up to 0.25 ms a megabyte for new pages, of a 1 ms time slice.
fn copied(env: Env, bytes: usize) {
    const PERCENT: usize = 1024 * 1024 / 25;
    if bytes >= PERCENT {
        let percent = (bytes / PERCENT).min(100);
        rustler::schedule::consume_timeslice(env, percent as i32);
    }
}

fn range(data: &[u8], offset: u64, length: u64) -> Result<&[u8]> {
    let end = offset.checked_add(length);
    let range = usize::try_from(offset)
        .ok()
        .zip(end.and_then(|end| usize::try_from(end).ok()));
    range
        .and_then(|(start, end)| data.get(start..end))
        .ok_or_else(|| {
            let limit = data.len() as u64;
            let size = length;
            OutOfBounds {
                offset,
                size,
                limit,
            }
            .into()
        })
}
