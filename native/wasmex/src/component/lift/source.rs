//! What values are read from: a guest's memory, of which a call may read a limited amount.

use crate::component::internal::StringEncoding;
use crate::guest::handoff;
use std::fmt;
use wasmtime::Result;

/// Fuel for what is read on a normal scheduler: a mebibyte of bytes, which takes a millisecond if the system is slow to
/// supply pages, and a little more.
const SLICE: usize = (1 << 20) + (1 << 16);

/// How many times longer it takes to convert a string that is not UTF-8 than to copy one.
const CONVERTED: usize = 4;

/// A guest's memory, and the fuel for reading it.
pub struct Source<'m> {
    memory: &'m [u8],
    encoding: StringEncoding,
    /// Fuel that is left for this slice,
    left: usize,
    /// and in total beyond that.
    rest: usize,
    /// Whether reading ends with the slice, see [`TooLong`].
    is_sliced: bool,
}

/// Values are too large for a slice; they are read on a dirty scheduler.
#[derive(Debug)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("values are too large for a normal scheduler")
    }
}

impl std::error::Error for TooLong {}

impl<'m> Source<'m> {
    /// With this fuel, in slices. Reading ends with [`TooLong`] if another slice is needed and can be put off.
    pub fn sliced(memory: &'m [u8], encoding: StringEncoding, fuel: usize) -> Self {
        let left = fuel.min(SLICE);
        Source {
            memory,
            encoding,
            left,
            rest: fuel - left,
            is_sliced: true,
        }
    }

    /// With this fuel, in one go.
    pub fn whole(memory: &'m [u8], encoding: StringEncoding, fuel: usize) -> Self {
        Source {
            memory,
            encoding,
            left: fuel,
            rest: 0,
            is_sliced: false,
        }
    }

    /// Consumes fuel.
    pub fn spend(&mut self, fuel: usize) -> Result<()> {
        match self.left.checked_sub(fuel) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.spend_rest(fuel),
        }
    }

    #[cold]
    fn spend_rest(&mut self, fuel: usize) -> Result<()> {
        let left = self.left.saturating_add(self.rest).checked_sub(fuel);
        let left = left.ok_or_else(|| {
            wasmtime::Error::msg(
                "too much data is being copied between the host and the guest: \
                 fuel allocated for hostcalls has been exhausted",
            )
        })?;
        if self.is_sliced && self.rest > 0 && handoff::may_put_off() {
            return Err(TooLong.into());
        }
        (self.left, self.rest) = (left, 0);
        Ok(())
    }

    /// Consumes fuel for a string that is converted, and more of the slice.
    fn spend_converted(&mut self, fuel: usize) -> Result<()> {
        let slice = fuel.saturating_mul(CONVERTED);
        let has_fuel = fuel <= self.left.saturating_add(self.rest);
        if self.is_sliced && has_fuel && slice > self.left && handoff::may_put_off() {
            return Err(TooLong.into());
        }
        self.spend(fuel)?;
        let more = (slice - fuel).min(self.left);
        self.left -= more;
        self.rest += more;
        Ok(())
    }

    /// Bytes at a pointer.
    pub fn slice(&self, at: usize, size: usize, align: usize) -> Result<&'m [u8]> {
        slice(self.memory, at, size, align)
    }

    /// A string at a pointer, in the guest's encoding (canonical ABI, "load_string_from_range"); `None` if it is UTF-8.
    pub fn text(&mut self, at: usize, length: usize) -> Result<Option<String>> {
        let wide = match self.encoding {
            StringEncoding::Utf8 => return Ok(None),
            StringEncoding::Utf16 => Some(length),
            StringEncoding::CompactUtf16 if length & UTF16_TAG == 0 => None,
            StringEncoding::CompactUtf16 => Some(length ^ UTF16_TAG),
        };
        let Some(units) = wide else {
            let bytes = self.slice(at, length, 2)?;
            self.spend_converted(length)?;
            return Ok(Some(bytes.iter().map(|byte| char::from(*byte)).collect()));
        };
        let size = units.checked_mul(2).ok_or_else(out_of_bounds)?;
        let bytes = self.slice(at, size, 2)?;
        self.spend_converted(size)?;
        let (units, _) = bytes.as_chunks::<2>();
        let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
        let text: std::result::Result<String, _> = char::decode_utf16(units).collect();
        Ok(Some(text?))
    }
}

/// In the length of a string whose encoding is `latin1+utf16`: it is UTF-16.
const UTF16_TAG: usize = 1 << 31;

/// Bytes at a pointer into a memory.
pub fn slice(memory: &[u8], at: usize, size: usize, align: usize) -> Result<&[u8]> {
    if !at.is_multiple_of(align) {
        return Err(wasmtime::Error::msg("a pointer is not aligned"));
    }
    memory
        .get(at..)
        .and_then(|memory| memory.get(..size))
        .ok_or_else(out_of_bounds)
}

fn out_of_bounds() -> wasmtime::Error {
    wasmtime::Error::msg("a pointer is out of bounds of memory")
}
