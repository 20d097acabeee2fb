//! The state of an instance, as read by Elixir: the source of a snapshot.
//!
//! `length of the code (four bytes), code`, then texts (`length, two bytes, text`): the name of the initialisation
//! function and the name that becomes `_start` (empty for none). Then one byte for whether the former stays exported,
//! and values until the end: `name, type (one byte), length (four bytes), bytes`. Numbers are big-endian, values as in
//! memory.

use std::collections::HashMap;
use wasmtime_wizer::SnapshotVal;

/// The state of one instance.
pub struct State<'a> {
    pub code: &'a [u8],
    pub init: &'a str,
    pub start: Option<&'a str>,
    pub keep_init: bool,
    values: HashMap<&'a str, Value<'a>>,
}

enum Value<'a> {
    I32([u8; 4]),
    I64([u8; 8]),
    F32([u8; 4]),
    F64([u8; 8]),
    V128([u8; 16]),
    Memory(&'a [u8]),
}

impl<'a> State<'a> {
    /// `None` when the bytes are not a valid state.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let code = input.long()?;
        let init = input.text()?;
        let start = Some(input.text()?).filter(|name| !name.is_empty());
        let keep_init = input.byte()? != 0;
        let mut values = HashMap::new();
        while !input.0.is_empty() {
            let name = input.text()?;
            let kind = input.byte()?;
            values.insert(name, Value::read(kind, input.long()?)?);
        }
        Some(State {
            code,
            init,
            start,
            keep_init,
            values,
        })
    }

    /// The value of a global.
    pub fn global(&self, name: &str) -> Option<SnapshotVal> {
        Some(match self.values.get(name)? {
            Value::I32(bytes) => SnapshotVal::I32(i32::from_le_bytes(*bytes)),
            Value::I64(bytes) => SnapshotVal::I64(i64::from_le_bytes(*bytes)),
            Value::F32(bytes) => SnapshotVal::F32(u32::from_le_bytes(*bytes)),
            Value::F64(bytes) => SnapshotVal::F64(u64::from_le_bytes(*bytes)),
            Value::V128(bytes) => SnapshotVal::V128(u128::from_le_bytes(*bytes)),
            Value::Memory(_) => return None,
        })
    }

    /// The contents of a memory.
    pub fn memory(&self, name: &str) -> Option<&'a [u8]> {
        match self.values.get(name)? {
            Value::Memory(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl<'a> Value<'a> {
    fn read(kind: u8, bytes: &'a [u8]) -> Option<Self> {
        Some(match kind {
            0 => Value::I32(bytes.try_into().ok()?),
            1 => Value::I64(bytes.try_into().ok()?),
            2 => Value::F32(bytes.try_into().ok()?),
            3 => Value::F64(bytes.try_into().ok()?),
            4 => Value::V128(bytes.try_into().ok()?),
            5 => Value::Memory(bytes),
            _ => return None,
        })
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.take(length as usize)
    }
}

#[cfg(test)]
// A test may fail by a panic.
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let mut bytes = vec![0, 0, 0, 2, 7, 8, 0, 1, b'i', 0, 0, 1];
        bytes.extend([0, 1, b'g', 0, 0, 0, 0, 4, 255, 255, 255, 255]);
        bytes.extend([0, 1, b'm', 5, 0, 0, 0, 3, 1, 2, 3]);
        let state = State::read(&bytes).unwrap();
        assert_eq!((state.code, state.init), (&[7, 8][..], "i"));
        assert!(state.start.is_none() && state.keep_init);
        assert!(matches!(state.global("g"), Some(SnapshotVal::I32(-1))));
        assert_eq!(state.memory("m"), Some(&[1, 2, 3][..]));
        assert!(state.memory("g").is_none() && state.global("m").is_none());
        for length in 0..bytes.len() {
            // Truncated anywhere, it is either invalid or a state with fewer values.
            if let Some(state) = State::read(&bytes[..length]) {
                assert!(state.values.len() < 2);
            }
        }
    }
}
