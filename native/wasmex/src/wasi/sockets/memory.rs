//! Guest memory, as the socket functions read and write it.

use crate::wasi::errno::{Fail, INVAL};
use std::borrow::Cow;
use wiggle::{GuestMemory, GuestPtr};

/// Buffers used per call; on a stream, a call may transfer less than requested.
const MAX_BUFFERS: u32 = 1024;

/// Bytes transferred per call if they must be copied.
const MAX_COPY: usize = 256 * 1024;

/// A guest pointer.
pub fn pointer(value: i32) -> u32 {
    value.cast_unsigned()
}

/// The bytes at a pointer, without copying unless other threads may write there.
pub fn bytes<'m>(memory: &'m GuestMemory<'_>, at: u32, len: u32) -> Result<Cow<'m, [u8]>, Fail> {
    Ok(memory.as_cow(GuestPtr::<[u8]>::new((at, len)))?)
}

/// A number in little-endian order.
pub fn read_u32(memory: &GuestMemory<'_>, at: u32) -> Result<u32, Fail> {
    // Unaligned: C's packed bytes have no alignment.
    Ok(little_endian(&bytes(memory, at, 4)?))
}

/// Writes bytes.
pub fn put(memory: &mut GuestMemory<'_>, at: u32, bytes: &[u8]) -> Result<(), Fail> {
    let len = u32::try_from(bytes.len()).map_err(|_| INVAL)?;
    Ok(memory.copy_from_slice(bytes, GuestPtr::<[u8]>::new((at, len)))?)
}

/// Writes the number of bytes transferred.
pub fn put_count(memory: &mut GuestMemory<'_>, place: i32, count: usize) -> Result<(), Fail> {
    put_u32(memory, place, u32::try_from(count).map_err(|_| INVAL)?)
}

/// Writes a number.
pub fn put_u32(memory: &mut GuestMemory<'_>, at: i32, value: u32) -> Result<(), Fail> {
    put(memory, pointer(at), &value.to_le_bytes())
}

/// Pointers and lengths of the non-empty buffers in a list.
pub fn buffers(memory: &GuestMemory<'_>, list: i32, count: i32) -> Result<Vec<(u32, u32)>, Fail> {
    let count = pointer(count).min(MAX_BUFFERS);
    let size = count.checked_mul(8).ok_or(INVAL)?;
    let list = bytes(memory, pointer(list), size)?;
    let buffers = list.chunks_exact(8).map(|pair| {
        let (at, len) = pair.split_at(4);
        (little_endian(at), little_endian(len))
    });
    Ok(buffers.filter(|(_, len)| *len > 0).collect())
}

/// Up to four bytes as a number.
pub fn little_endian(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The contents of a list of buffers.
pub fn gather<'m>(
    memory: &'m GuestMemory<'_>,
    list: i32,
    count: i32,
) -> Result<Vec<Cow<'m, [u8]>>, Fail> {
    buffers(memory, list, count)?
        .into_iter()
        .map(|(at, len)| bytes(memory, at, len))
        .collect()
}

/// The destination of a read: guest memory itself, or an intermediate buffer if there are several or other threads may
/// write to the memory.
pub enum Target {
    Direct(u32, u32),
    Copied(Vec<(u32, u32)>, Vec<u8>),
}

impl Target {
    /// For a list of buffers, which must all be in bounds.
    pub fn new(memory: &GuestMemory<'_>, list: i32, count: i32) -> Result<Self, Fail> {
        let buffers = buffers(memory, list, count)?;
        if let ([], false) = (&buffers[..], memory.is_shared_memory()) {
            return Ok(Target::Direct(0, 0));
        }
        if let ([(at, len)], false) = (&buffers[..], memory.is_shared_memory()) {
            bytes(memory, *at, *len)?;
            return Ok(Target::Direct(*at, *len));
        }
        let mut total = 0_usize;
        for (at, len) in &buffers {
            if !memory.is_shared_memory() {
                bytes(memory, *at, *len)?;
            }
            total = total.saturating_add(*len as usize);
        }
        Ok(Target::Copied(buffers, vec![0; total.min(MAX_COPY)]))
    }

    /// The bytes to fill.
    pub fn slice<'t>(&'t mut self, memory: &'t mut GuestMemory<'_>) -> Result<&'t mut [u8], Fail> {
        match self {
            Target::Direct(at, len) => {
                let slice = memory.as_slice_mut(GuestPtr::<[u8]>::new((*at, *len)))?;
                slice.ok_or(Fail::Errno(INVAL))
            }
            Target::Copied(_, buffer) => Ok(buffer),
        }
    }

    /// Marks this many bytes as filled and copies them to their destination.
    pub fn finish(&self, memory: &mut GuestMemory<'_>, count: usize) -> Result<(), Fail> {
        let Target::Copied(buffers, copy) = self else {
            return Ok(());
        };
        let mut rest = copy.get(..count).unwrap_or(copy);
        for (at, len) in buffers {
            let (now, later) = rest.split_at(rest.len().min(*len as usize));
            if now.is_empty() {
                break;
            }
            put(memory, *at, now)?;
            rest = later;
        }
        Ok(())
    }
}
