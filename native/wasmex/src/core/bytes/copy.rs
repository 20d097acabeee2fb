//! Copies bytes into and out of a guest's memory, in chunks between which other processes get the scheduler.

use crate::core::memory::OutOfBounds;
use crate::guest::data::StoreData;
use crate::vm::error::Result;
use rustler::OwnedBinary;
use std::task::Poll;
use wasmtime::{Memory, StoreContextMut};

/// Bytes copied at a time: some tens of microseconds.
const CHUNK: usize = 1024 * 1024;

/// Memory allocated by the guest.
pub struct Block {
    /// Its offset.
    pub pointer: u64,
    /// Its length.
    pub size: u64,
}

/// The length of the text at a pointer, up to its NUL.
pub fn text_at(
    memory: &Memory,
    cx: &StoreContextMut<'_, StoreData>,
    pointer: u32,
) -> Result<Block> {
    let data = memory.data(cx);
    let start = pointer as usize;
    let end = data
        .get(start..)
        .and_then(|rest| rest.iter().take(CHUNK).position(|byte| *byte == 0));
    match end {
        Some(size) => Ok(Block {
            pointer: u64::from(pointer),
            size: size as u64,
        }),
        None => Err(OutOfBounds {
            offset: u64::from(pointer),
            size: CHUNK as u64,
            limit: data.len() as u64,
        }
        .into()),
    }
}

/// Copies into the guest's memory, a chunk at a time.
pub async fn write(
    mut cx: StoreContextMut<'_, StoreData>,
    memory: &Memory,
    pointer: u64,
    bytes: &[u8],
) -> Result<()> {
    for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
        if index > 0 {
            yield_now().await;
        }
        let place = range(memory, &cx, pointer + (index * CHUNK) as u64, chunk.len())?;
        memory.data_mut(&mut cx)[place].copy_from_slice(chunk);
    }
    Ok(())
}

/// Copies out of the guest's memory, a chunk at a time.
pub async fn read(
    cx: StoreContextMut<'_, StoreData>,
    memory: &Memory,
    block: &Block,
) -> Result<OwnedBinary> {
    let size = usize::try_from(block.size).unwrap_or(usize::MAX);
    // Checked before a binary of that size is allocated.
    range(memory, &cx, block.pointer, size)?;
    let mut binary = OwnedBinary::new(size);
    for (index, chunk) in binary.as_mut_slice().chunks_mut(CHUNK).enumerate() {
        if index > 0 {
            yield_now().await;
        }
        let start = block.pointer + (index * CHUNK) as u64;
        let place = range(memory, &cx, start, chunk.len())?;
        chunk.copy_from_slice(&memory.data(&cx)[place]);
    }
    Ok(binary)
}

fn range(
    memory: &Memory,
    cx: &StoreContextMut<'_, StoreData>,
    offset: u64,
    size: usize,
) -> Result<std::ops::Range<usize>> {
    let limit = memory.data_size(cx);
    let start = usize::try_from(offset).ok();
    let end = start.and_then(|start| start.checked_add(size));
    match (start, end) {
        (Some(start), Some(end)) if end <= limit => Ok(start..end),
        _ => Err(OutOfBounds {
            offset,
            size: size as u64,
            limit: limit as u64,
        }
        .into()),
    }
}

/// Lets other processes have the scheduler.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
