//! Converts between the two forms of the canonical ABI: a value in memory, and the same value as core values on the
//! stack (canonical ABI, "flattening").
//!
//! Variant cases share slots, each as wide as the widest case needs; the bits of a narrower value are in the low end,
//! as wasmtime stores all core values.

use crate::component::types::numbers;
use crate::component::types::shape::{Case, Cases, Kind, Record, Shape};
use std::mem::MaybeUninit;
use wasmtime::ValRaw;

/// Core values on their way to the stack.
pub struct Lanes<'s> {
    slots: &'s mut [MaybeUninit<ValRaw>],
    used: usize,
}

impl<'s> Lanes<'s> {
    /// Writes to these slots.
    pub fn new(slots: &'s mut [MaybeUninit<ValRaw>]) -> Self {
        Lanes { slots, used: 0 }
    }

    fn push(&mut self, value: ValRaw) {
        if let Some(slot) = self.slots.get_mut(self.used) {
            slot.write(value);
        }
        self.used += 1;
    }

    fn len(&self) -> usize {
        self.used
    }
}

/// Reads the value in `bytes` as core values.
pub fn flatten(shape: &Shape, bytes: &[u8], out: &mut Lanes<'_>) {
    match &shape.kind {
        Kind::Bool => out.push(ValRaw::u32(u32::from(bytes[0]))),
        Kind::Number(number) => {
            let bits = numbers::read(bytes, number.size());
            out.push(match number.size() {
                8 => ValRaw::u64(bits),
                _ => ValRaw::u32(number.extend(bits)),
            });
        }
        Kind::Char | Kind::Resource(_) => out.push(word(bytes, 0)),
        Kind::String | Kind::List(_) | Kind::Map(_) => {
            out.push(word(bytes, 0));
            out.push(word(bytes, 4));
        }
        Kind::FixedList(element, length) => {
            for index in 0..*length {
                flatten(element, &bytes[index * element.size..], out);
            }
        }
        Kind::Record(Record { fields, .. }) => {
            for field in fields {
                flatten(&field.item.shape, &bytes[field.item.offset..], out);
            }
        }
        Kind::Tuple(items) => {
            for item in items {
                flatten(&item.shape, &bytes[item.offset..], out);
            }
        }
        Kind::Flags(names) => {
            if !names.is_empty() {
                out.push(ValRaw::u32(numbers::read(bytes, shape.size) as u32));
            }
        }
        Kind::Enum(cases) => out.push(ValRaw::u32(tag(cases, bytes) as u32)),
        Kind::Variant(cases) | Kind::Option(cases) | Kind::Result(cases) => {
            let end = out.len() + shape.flat.unwrap_or(1);
            let index = tag(cases, bytes);
            out.push(ValRaw::u32(index as u32));
            if let Some(payload) = cases
                .cases
                .get(index)
                .and_then(|case| case.payload.as_ref())
            {
                flatten(payload, &bytes[cases.payload_offset..], out);
            }
            while out.len() < end {
                out.push(ValRaw::u64(0));
            }
        }
    }
}

/// Writes core values as the value in `bytes`.
pub fn unflatten(
    shape: &Shape,
    values: &mut std::slice::Iter<'_, ValRaw>,
    bytes: &mut [u8],
) -> wasmtime::Result<()> {
    let mut next = || values.next().map_or(0, ValRaw::get_u64);
    match &shape.kind {
        // Any number but zero is true.
        Kind::Bool => bytes[0] = u8::from(next() as u32 != 0),
        Kind::Number(number) => numbers::write(bytes, next(), number.size()),
        Kind::Char | Kind::Resource(_) => numbers::write(bytes, next(), 4),
        Kind::String | Kind::List(_) | Kind::Map(_) => {
            numbers::write(bytes, next(), 4);
            numbers::write(&mut bytes[4..], next(), 4);
        }
        Kind::FixedList(element, length) => {
            for index in 0..*length {
                unflatten(element, values, &mut bytes[index * element.size..])?;
            }
        }
        Kind::Record(Record { fields, .. }) => {
            for field in fields {
                unflatten(&field.item.shape, values, &mut bytes[field.item.offset..])?;
            }
        }
        Kind::Tuple(items) => {
            for item in items {
                unflatten(&item.shape, values, &mut bytes[item.offset..])?;
            }
        }
        Kind::Flags(names) => {
            if !names.is_empty() {
                numbers::write(bytes, next(), shape.size);
            }
        }
        Kind::Enum(cases) => {
            let index = next() as u32;
            case(cases, index as usize)?;
            numbers::write(bytes, u64::from(index), cases.tag_size);
        }
        Kind::Variant(cases) | Kind::Option(cases) | Kind::Result(cases) => {
            let index = next() as u32;
            let payload = case(cases, index as usize)?.payload.as_ref();
            numbers::write(bytes, u64::from(index), cases.tag_size);
            let rest = values.as_slice();
            if let Some(payload) = payload {
                unflatten(payload, values, &mut bytes[cases.payload_offset..])?;
            }
            // Skips the slots this case does not use.
            let lanes = shape.flat.unwrap_or(1).saturating_sub(1);
            *values = rest.get(lanes..).unwrap_or(&[]).iter();
        }
    }
    Ok(())
}

/// The case with this index.
pub fn case(cases: &Cases, index: usize) -> wasmtime::Result<&Case> {
    cases
        .cases
        .get(index)
        .ok_or_else(|| wasmtime::Error::msg(format!("unexpected discriminant: {index}")))
}

/// The index of a value's case.
pub fn tag(cases: &Cases, bytes: &[u8]) -> usize {
    numbers::read(bytes, cases.tag_size) as usize
}

fn word(bytes: &[u8], at: usize) -> ValRaw {
    ValRaw::u32(numbers::read(&bytes[at..], 4) as u32)
}
