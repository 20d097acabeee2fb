//! Lists of small integers, as nearly all lists of integers are, read in one pass.
//!
//! A list has to be followed cell by cell, so counting its elements first would take as long as reading them.

use super::Decoder;
use super::lists::MAX_LIST;
use crate::component::lower::image::Bytes;
use crate::component::problem::Checked;
use crate::component::types::numbers::Number;
use crate::component::types::shape::{Kind, Shape};
use crate::vm::layout::Integers;
use rustler::Term;
use std::mem::MaybeUninit;

impl Decoder<'_> {
    /// A list of small integers, as a blob and its length. `None` for others, which are read in another way.
    pub(super) fn integers(
        &mut self,
        list: Term,
        element: &Shape,
    ) -> Checked<Option<(usize, usize)>> {
        let Kind::Number(number) = element.kind else {
            return Ok(None);
        };
        let Some(integers) = Integers::of(list, number.range()) else {
            return Ok(None);
        };
        let bytes = match number {
            Number::S8 | Number::U8 => self.read(integers, |value| [value as u8]),
            Number::S16 | Number::U16 => self.read(integers, |value| (value as u16).to_le_bytes()),
            Number::S32 | Number::U32 => self.read(integers, |value| (value as u32).to_le_bytes()),
            Number::S64 | Number::U64 => self.read(integers, i64::to_le_bytes),
            Number::F32 | Number::F64 => Ok(None),
        };
        Ok(bytes?.map(|bytes| {
            let length = bytes.len() / element.size;
            (self.image.filled(bytes, element.align), length)
        }))
    }

    /// The bytes of all integers of a list, counted as those of other values are.
    fn read<const SIZE: usize>(
        &mut self,
        mut integers: Integers,
        encoded: impl Fn(i64) -> [u8; SIZE] + Copy,
    ) -> Checked<Option<Bytes>> {
        let mut bytes = Bytes::new();
        let within = self.left.min(MAX_LIST) / SIZE;
        let is_longer = append(&mut bytes, &mut integers, within, encoded);
        if is_longer && !integers.is_at_end() {
            self.spend(self.left.saturating_add(1))?;
            append(&mut bytes, &mut integers, MAX_LIST / SIZE - within, encoded);
        }
        if bytes.len() >= MAX_LIST || !integers.is_at_end() {
            return Ok(None);
        }
        self.spend(bytes.len())?;
        Ok(Some(bytes))
    }
}

/// Appends at most so many integers; true if there were as many.
fn append<const SIZE: usize>(
    bytes: &mut Bytes,
    integers: &mut Integers,
    most: usize,
    encoded: impl Fn(i64) -> [u8; SIZE],
) -> bool {
    let mut left = most;
    while left > 0 {
        // Twice as much room as before.
        bytes.reserve(bytes.len().max(SIZE));
        let free = free_slots::<SIZE>(bytes, left);
        let room = free.len();
        let mut filled = 0;
        for (slot, value) in free.iter_mut().zip(integers.by_ref()) {
            slot.write(encoded(value));
            filled += 1;
        }
        // SAFETY: so many slots behind the last byte were written.
        unsafe { bytes.set_len(bytes.len() + filled * SIZE) };
        if filled < room {
            return false;
        }
        left -= filled;
    }
    true
}

/// Unused capacity, for at most so many integers. It is written to directly, since a vector that grows one by one reloads
/// its length each time.
fn free_slots<const SIZE: usize>(bytes: &mut Bytes, most: usize) -> &mut [MaybeUninit<[u8; SIZE]>] {
    let free = (bytes.capacity() - bytes.len()) / SIZE;
    // SAFETY: the capacity behind the last byte; bytes need no alignment, and are not read.
    unsafe {
        let start = bytes.as_mut_ptr().add(bytes.len());
        std::slice::from_raw_parts_mut(start.cast(), free.min(most))
    }
}
