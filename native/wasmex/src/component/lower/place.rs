//! Places an [`Image`] in the guest: the guest allocates room for each blob, children first, and pointers are written
//! as they become known (canonical ABI, "storing" and "flat lowering").

use crate::component::internal::StringEncoding;
use crate::component::internal::{InterfaceType, LowerContext};
use crate::component::lower::image::{Bytes, Chunk, Image, Target};
use crate::component::types::flat::{self, Lanes};
use crate::component::types::numbers;
use crate::component::types::shape::Shape;
use crate::guest::handoff::Stay;
use crate::vm::dirty;
use std::mem::MaybeUninit;
use wasmtime::component::{ComponentType, Lower, ResourceDynamic};
use wasmtime::{Result, ValRaw};

/// Maximum number of core values passed on the stack.
pub const MAX_FLAT_PARAMS: usize = 16;

/// Lowers the root as arguments: on the stack if they fit, otherwise in memory.
pub fn arguments<T>(
    image: &mut Image,
    shape: &Shape,
    cx: &mut LowerContext<'_, T>,
    slots: &mut [MaybeUninit<ValRaw>],
) -> Result<()> {
    let root = place(image, cx)?;
    match shape.flat {
        Some(count) if count <= MAX_FLAT_PARAMS => {
            flat::flatten(shape, &root, &mut Lanes::new(slots));
        }
        _ => {
            let at = cx.realloc(0, 0, shape.align as u32, root.len())?;
            cx.as_slice_mut()[at..][..root.len()].copy_from_slice(&root);
            slots[0].write(ValRaw::i64(at as i64));
        }
    }
    Ok(())
}

/// Lowers the root as a result into its slot, if it has one.
pub fn flat_result<T>(
    image: &mut Image,
    shape: &Shape,
    cx: &mut LowerContext<'_, T>,
    slots: &mut [MaybeUninit<ValRaw>],
) -> Result<()> {
    let root = place(image, cx)?;
    flat::flatten(shape, &root, &mut Lanes::new(slots));
    Ok(())
}

/// Lowers the root as a result into memory provided by the guest.
pub fn memory_result<T>(
    image: &mut Image,
    cx: &mut LowerContext<'_, T>,
    offset: usize,
) -> Result<()> {
    let root = place(image, cx)?;
    cx.as_slice_mut()[offset..][..root.len()].copy_from_slice(&root);
    Ok(())
}

/// Places all blobs except the root, whose completed bytes are returned. The guest's allocator may take several slices:
/// while it allocates room for many, the slices after it are on dirty schedulers, too.
fn place<T>(image: &mut Image, cx: &mut LowerContext<'_, T>) -> Result<Bytes> {
    let _stay = (image.is_large && !dirty::is_normal()).then(Stay::begin);
    if image.blobs.len() == 1 {
        return complete(image, 0, &[], cx);
    }
    let mut places = vec![0u32; image.blobs.len()];
    for index in (1..image.blobs.len()).rev() {
        let bytes = complete(image, index, &places, cx)?;
        let align = image.blobs[index].align;
        let at = cx.realloc(0, 0, align, bytes.len())?;
        cx.as_slice_mut()[at..][..bytes.len()].copy_from_slice(&bytes);
        places[index] = at as u32;
    }
    complete(image, 0, &places, cx)
}

fn complete<T>(
    image: &mut Image,
    index: usize,
    places: &[u32],
    cx: &mut LowerContext<'_, T>,
) -> Result<Bytes> {
    let blob = &mut image.blobs[index];
    let (mut bytes, links) = (
        std::mem::take(&mut blob.bytes),
        std::mem::take(&mut blob.links),
    );
    for link in links {
        let slot = &mut bytes[link.at as usize..];
        match link.target {
            Target::List { blob, length } => pointer(slot, places[blob as usize], length),
            Target::Bytes(chunk) => {
                let (at, length) = place_bytes(image, &chunk, 1, cx)?;
                pointer(slot, at, length);
            }
            Target::Numbers {
                chunk,
                length,
                size,
            } => {
                let (at, _) = place_bytes(image, &chunk, size, cx)?;
                pointer(slot, at, length);
            }
            Target::Text(chunk) => {
                let (at, length) = place_text(image, &chunk, cx)?;
                pointer(slot, at, length);
            }
            Target::Handle { index, ty } => {
                let handle = image.handles[index as usize].lowered()?;
                numbers::write(slot, u64::from(lower_index(&handle, cx, ty)?), 4);
            }
            Target::Hosted { index, ty } => {
                let hosted = &image.hosted[index as usize];
                let resource = match hosted.owned {
                    true => ResourceDynamic::new_own(hosted.rep, hosted.id),
                    false => ResourceDynamic::new_borrow(hosted.rep, hosted.id),
                };
                numbers::write(slot, u64::from(lower_index(&resource, cx, ty)?), 4);
            }
        }
    }
    Ok(bytes)
}

fn pointer(slot: &mut [u8], at: u32, length: u32) {
    numbers::write(slot, u64::from(at), 4);
    numbers::write(&mut slot[4..], u64::from(length), 4);
}

fn place_bytes<T>(
    image: &Image,
    chunk: &Chunk,
    align: u32,
    cx: &mut LowerContext<'_, T>,
) -> Result<(u32, u32)> {
    let bytes = image.bytes(chunk);
    let length = u32::try_from(bytes.len())?;
    let at = cx.realloc(0, 0, align, bytes.len())?;
    cx.as_slice_mut()[at..][..bytes.len()].copy_from_slice(bytes);
    Ok((at as u32, length))
}

/// UTF-8 is copied; other encodings are left to wasmtime.
fn place_text<T>(image: &Image, chunk: &Chunk, cx: &mut LowerContext<'_, T>) -> Result<(u32, u32)> {
    if matches!(cx.options().string_encoding, StringEncoding::Utf8) {
        return place_bytes(image, chunk, 1, cx);
    }
    let text = std::str::from_utf8(image.bytes(chunk))?;
    let mut pair = MaybeUninit::<<str as ComponentType>::Lower>::uninit();
    text.linear_lower_to_flat(cx, InterfaceType::String, &mut pair)?;
    // SAFETY: the call above initialised it, since it returned `Ok`.
    let [at, length] = unsafe { pair.assume_init() };
    Ok((at.get_u32(), length.get_u32()))
}

/// The index of a resource in the guest's table.
pub fn lower_index<T, R>(
    resource: &R,
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
) -> Result<u32>
where
    R: Lower + ComponentType<Lower = ValRaw>,
{
    let mut slot = MaybeUninit::<ValRaw>::uninit();
    resource.linear_lower_to_flat(cx, ty, &mut slot)?;
    // SAFETY: the call above initialised it, since it returned `Ok`.
    Ok(unsafe { slot.assume_init() }.get_u32())
}
