//! The memory shared by a plug-in and its host: blocks of bytes by offset, and the words that refer to the input, the
//! output and the error.

use crate::guest::data::OverLimit;
use crate::guest::data::StoreData;
use crate::plugin::blocks::{FIRST, Place};
use crate::plugin::state::{State, WORDS, Words};
use crate::vm::pause::pause;
use wasmtime::{Error, Memory, Result, StoreContextMut, bail};

const PAGE: u64 = 65_536;

/// Offsets of the words, see kernel.wat.
const INPUT: usize = 0;
const OUTPUT: usize = 16;
const ERROR: usize = 32;
const ERROR_LENGTH: usize = 40;
const STALE: usize = 48;

/// Bytes copied at a time; then other processes get the scheduler.
pub const PIECE: usize = 2 << 20;

type Cx<'a, 'b> = &'a mut StoreContextMut<'b, StoreData>;

fn kernel(cx: Cx) -> Result<Memory> {
    Ok(State::of(cx.data_mut())?.running()?.memory)
}

/// A new block for the guest, which clears as many bytes as the kernel's word says; 0 if it is empty or there is no
/// room.
pub fn place_for_guest(cx: Cx, length: u64) -> Result<u64> {
    let mut stale = 0;
    let offset = place(cx, length, |_, found| stale = found)?;
    let memory = kernel(cx)?;
    set_word(memory.data_mut(cx), STALE, stale as u64);
    Ok(offset)
}

/// A new block with these bytes; 0 if empty. The guest must free it.
pub fn put(cx: Cx, bytes: &[u8]) -> Result<u64> {
    reserve(cx, bytes.len(), |block| block.copy_from_slice(bytes))
}

/// A new block of this length that begins with these bytes; 0 for an empty one.
pub fn put_start(cx: Cx, length: usize, bytes: &[u8]) -> Result<u64> {
    reserve(cx, length, |block| {
        let size = block.len().min(bytes.len());
        block[..size].copy_from_slice(&bytes[..size]);
    })
}

/// Writes bytes of a block.
pub fn write(cx: Cx, offset: u64, bytes: &[u8]) -> Result<()> {
    let memory = kernel(cx)?;
    match slice_mut(memory.data_mut(cx), offset, bytes.len() as u64) {
        Some(place) => place.copy_from_slice(bytes),
        None => bail!(
            "{} bytes at {offset} are outside of the memory",
            bytes.len()
        ),
    }
    Ok(())
}

/// As [`put`], for any number of bytes, a chunk at a time.
pub async fn put_all(cx: Cx<'_, '_>, bytes: &[u8]) -> Result<u64> {
    if bytes.len() <= PIECE {
        return put(cx, bytes);
    }
    let block = reserve(cx, bytes.len(), |_| {})?;
    let memory = kernel(cx)?;
    let mut at = block;
    for piece in bytes.chunks(PIECE) {
        if let Some(there) = slice_mut(memory.data_mut(&mut *cx), at, piece.len() as u64) {
            there.copy_from_slice(piece);
        }
        at += piece.len() as u64;
        pause().await;
    }
    Ok(block)
}

/// A copy of the block at this offset, a chunk at a time; `None` if no block begins there.
pub async fn copy(cx: Cx<'_, '_>, block: u64) -> Result<Vec<u8>> {
    let length = length(cx, block)?;
    let mut bytes = Vec::new();
    let short = || Error::msg(format!("there is no memory for a copy of {length} bytes"));
    bytes
        .try_reserve_exact(length as usize)
        .map_err(|_| short())?;
    copy_pieces(cx, block, length, |piece| bytes.extend_from_slice(piece)).await?;
    Ok(bytes)
}

/// Passes these bytes on, a chunk at a time.
pub async fn copy_pieces(
    cx: Cx<'_, '_>,
    mut offset: u64,
    length: u64,
    mut take: impl FnMut(&[u8]),
) -> Result<()> {
    let memory = kernel(cx)?;
    let end = offset.saturating_add(length);
    while offset < end {
        let size = (end - offset).min(PIECE as u64);
        take(slice(memory.data(&*cx), offset, size).unwrap_or(&[]));
        offset += size;
        if offset < end {
            pause().await;
        }
    }
    Ok(())
}

/// A new block of this length, or an error if there is no room; `fill` gets its bytes.
fn reserve(cx: Cx, length: usize, fill: impl FnOnce(&mut [u8])) -> Result<u64> {
    match place(cx, length as u64, |block, _| fill(block))? {
        0 if length > 0 => Err(Error::msg(format!(
            "there is no room for {length} bytes in the memory of the plug-in"
        ))),
        offset => Ok(offset),
    }
}

/// A new block; `fill` gets its bytes, and the number of them that an earlier call may have written.
fn place(cx: Cx, length: u64, fill: impl FnOnce(&mut [u8], usize)) -> Result<u64> {
    if length == 0 {
        return Ok(0);
    }
    let memory = kernel(cx)?;
    loop {
        let (data, store) = memory.data_and_store_mut(&mut *cx);
        let blocks = &mut State::of(store)?.blocks;
        let wanted = match blocks.place(length, data.len() as u64) {
            Place::At(offset) => {
                let stale = blocks.stale(offset, length) as usize;
                if let Some(bytes) = slice_mut(data, offset, length) {
                    fill(bytes, stale);
                }
                return Ok(offset);
            }
            Place::Grow(wanted) => wanted,
            Place::Nowhere => return Ok(0),
        };
        let pages = (wanted - data.len() as u64).div_ceil(PAGE);
        if let Err(error) = memory.grow(&mut *cx, pages) {
            let (data, store) = memory.data_and_store_mut(&mut *cx);
            let Some(offset) = State::of(store)?.blocks.place_anywhere(length) else {
                return if error.is::<OverLimit>() {
                    Err(error)
                } else {
                    Ok(0)
                };
            };
            if let Some(bytes) = slice_mut(data, offset, length) {
                fill(bytes, 0);
            }
            return Ok(offset);
        }
    }
}

/// Frees the block at this offset; does nothing if no block begins there.
pub fn free(cx: Cx, offset: u64) -> Result<()> {
    let memory = kernel(cx)?;
    let (data, store) = memory.data_and_store_mut(cx);
    if State::of(store)?.blocks.free(offset) && word(data, INPUT) == offset {
        set_word(data, INPUT + 8, 0);
    }
    Ok(())
}

/// The length of a block, 0 if no block begins there.
pub fn length(cx: Cx, offset: u64) -> Result<u64> {
    Ok(State::of(cx.data_mut())?.blocks.length(offset))
}

/// Bytes available to the allocator.
pub fn size(cx: Cx) -> Result<u64> {
    let memory = kernel(cx)?;
    Ok(memory.data_size(cx) as u64 - FIRST)
}

/// The block at this offset, and the rest of the store's data; `None` if no block begins there.
pub fn block<'a>(cx: Cx<'a, '_>, offset: u64) -> Result<(Option<&'a [u8]>, &'a mut State)> {
    let memory = kernel(cx)?;
    let (data, store) = memory.data_and_store_mut(cx);
    let state = State::of(store)?;
    let length = state.blocks.length(offset);
    let bytes = match length {
        0 => None,
        length => slice(data, offset, length),
    };
    Ok((bytes, state))
}

/// The same where 0 means no bytes, and any other invalid offset is an error.
pub fn argument<'a>(cx: Cx<'a, '_>, offset: u64, what: &str) -> Result<(&'a [u8], &'a mut State)> {
    match block(cx, offset)? {
        (Some(bytes), state) => Ok((bytes, state)),
        (None, state) if offset == 0 => Ok((&[], state)),
        _ => Err(Error::msg(format!(
            "invalid handle offset for {what}: {offset}"
        ))),
    }
}

/// Sets the input of the call.
pub fn set_input(cx: Cx, offset: u64, length: u64) -> Result<()> {
    let memory = kernel(cx)?;
    let data = memory.data_mut(cx);
    if slice(data, offset, length).is_some() {
        set_word(data, INPUT, offset);
        set_word(data, INPUT + 8, length);
    }
    Ok(())
}

/// Does nothing out of bounds; a range beyond the end of its block is truncated.
pub fn set_output(cx: Cx, offset: u64, length: u64) -> Result<()> {
    let memory = kernel(cx)?;
    let (data, store) = memory.data_and_store_mut(cx);
    let rest = State::of(store)?.blocks.rest(offset);
    if length > 0 && (rest == 0 || slice(data, offset, length).is_none()) {
        return Ok(());
    }
    set_word(data, OUTPUT, offset);
    set_word(data, OUTPUT + 8, length.min(rest));
    Ok(())
}

/// Sets the error of the call.
pub fn set_error(cx: Cx, offset: u64) -> Result<()> {
    let memory = kernel(cx)?;
    let (data, store) = memory.data_and_store_mut(cx);
    let length = State::of(store)?.blocks.length(offset);
    set_word(data, ERROR, offset);
    set_word(data, ERROR_LENGTH, length);
    Ok(())
}

/// These bytes, or none if out of bounds.
pub fn bytes<'a>(cx: Cx<'a, '_>, (offset, length): (u64, u64)) -> Result<&'a [u8]> {
    let memory = kernel(cx)?;
    Ok(slice(memory.data(cx), offset, length).unwrap_or(&[]))
}

/// Offset and length of the last output.
pub fn output(cx: Cx) -> Result<(u64, u64)> {
    let memory = kernel(cx)?;
    let data = memory.data(cx);
    let (offset, length) = (word(data, OUTPUT), word(data, OUTPUT + 8));
    Ok(match slice(data, offset, length) {
        Some(_) => (offset, length),
        None => (0, 0),
    })
}

/// Offset and length of the error text, if one is set. Kits from before Extism 1.0 free it before they return; if the
/// call failed, the freed block's length is used.
pub fn error(cx: Cx, failed: bool) -> Result<Option<(u64, u64)>> {
    let memory = kernel(cx)?;
    let (data, store) = memory.data_and_store_mut(cx);
    let offset = word(data, ERROR);
    let length = match offset {
        0 => 0,
        offset => match State::of(store)?.blocks.length(offset) {
            0 if failed => word(data, ERROR_LENGTH),
            length => length,
        },
    };
    Ok((length > 0).then_some((offset, length)))
}

/// Frees all blocks, and clears the input, the output and the error.
pub fn reset(cx: Cx) -> Result<()> {
    let memory = kernel(cx)?;
    let (data, store) = memory.data_and_store_mut(cx);
    State::of(store)?.blocks.reset();
    if let Some(words) = data.first_chunk_mut::<WORDS>() {
        *words = [0; WORDS];
    }
    Ok(())
}

/// Takes the words, leaving zeros.
pub fn take_words(cx: Cx) -> Result<Words> {
    let memory = kernel(cx)?;
    let words = memory.data_mut(cx).first_chunk_mut::<WORDS>();
    Ok(words.map_or([0; WORDS], |words| std::mem::replace(words, [0; WORDS])))
}

/// Restores input, output and error.
pub fn put_words(cx: Cx, kept: Words) -> Result<()> {
    let memory = kernel(cx)?;
    if let Some(words) = memory.data_mut(cx).first_chunk_mut::<WORDS>() {
        *words = kept;
    }
    Ok(())
}

fn word(data: &[u8], at: usize) -> u64 {
    data.get(at..)
        .and_then(|bytes| bytes.first_chunk::<8>())
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn set_word(data: &mut [u8], at: usize, value: u64) {
    if let Some(bytes) = data
        .get_mut(at..)
        .and_then(|bytes| bytes.first_chunk_mut::<8>())
    {
        *bytes = value.to_le_bytes();
    }
}

fn range(offset: u64, length: u64) -> Option<std::ops::Range<usize>> {
    if offset < FIRST && length > 0 {
        return None;
    }
    let end = usize::try_from(offset.checked_add(length)?).ok()?;
    Some(usize::try_from(offset).ok()?..end)
}

fn slice(data: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    data.get(range(offset, length)?)
}

fn slice_mut(data: &mut [u8], offset: u64, length: u64) -> Option<&mut [u8]> {
    data.get_mut(range(offset, length)?)
}
