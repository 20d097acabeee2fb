//! A reader of bytes, front to back.

use crate::Refusal;

/// Why a scan ends early.
#[derive(Debug)]
pub enum Stop {
    /// A limit was exceeded.
    Refused(Refusal),
    /// Not valid WebAssembly from this offset on.
    Malformed(usize),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

/// The result of reading.
pub type Read<T> = Result<T, Stop>;

/// A slice of the input that knows its offset in the whole.
#[derive(Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of the bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// The offset of the next byte in the whole file.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether all bytes have been read.
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The number of bytes left.
    pub fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The error for malformed bytes at the current offset.
    pub fn malformed<T>(&self) -> Read<T> {
        Err(Stop::Malformed(self.at))
    }

    /// The next byte, without reading it.
    pub fn peek(&self) -> Read<u8> {
        match self.bytes.get(self.at) {
            Some(byte) => Ok(*byte),
            None => self.malformed(),
        }
    }

    /// Reads a byte.
    pub fn byte(&mut self) -> Read<u8> {
        let byte = self.peek()?;
        self.at = self.at.saturating_add(1);
        Ok(byte)
    }

    /// Reads this many bytes.
    pub fn take(&mut self, count: u64) -> Read<Reader<'a>> {
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| self.at.checked_add(count));
        let Some((end, bytes)) = end.and_then(|end| Some((end, self.bytes.get(..end)?))) else {
            return self.malformed();
        };
        let part = Reader { bytes, at: self.at };
        self.at = end;
        Ok(part)
    }

    /// Skips this many bytes.
    pub fn skip(&mut self, count: u64) -> Read<()> {
        self.take(count).map(|_| ())
    }

    /// A number of so many bytes, at most 8, the lowest first.
    pub fn fixed(&mut self, bytes: u64) -> Read<u64> {
        if bytes > 8 {
            return self.malformed();
        }
        let taken = self.take(bytes)?;
        let number = taken.rest().iter().rev();
        Ok(number.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The bytes of an item.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    /// An unsigned number of at most 32 bits, in LEB128.
    pub fn u32(&mut self) -> Read<u32> {
        let number = self.leb(5)?;
        match u32::try_from(number) {
            Ok(number) => Ok(number),
            Err(_) => self.malformed(),
        }
    }

    /// An unsigned number of at most 64 bits.
    pub fn u64(&mut self) -> Read<u64> {
        self.leb(10)
    }

    /// Skips a signed number of at most 33 bits and returns its bytes: enough for indices and type codes.
    pub fn index(&mut self) -> Read<()> {
        self.leb(5).map(|_| ())
    }

    /// The index of a type, `None` for a primitive one: a signed number of at most 33 bits.
    pub fn reference(&mut self) -> Read<Option<u32>> {
        let number = self.signed(5)?;
        Ok(u32::try_from(number).ok())
    }

    /// A signed number, as the unsigned one with the same bits.
    pub fn i32(&mut self) -> Read<u32> {
        let number = self.signed(5)?;
        Ok(u32::try_from(number & 0xffff_ffff).unwrap_or(0))
    }

    /// The number as an `i32`, in 64 bits.
    pub fn i64(&mut self) -> Read<u64> {
        self.signed(10)
    }

    fn signed(&mut self, most: u32) -> Read<u64> {
        let start = self.at;
        let number = self.leb(most)?;
        let read = u32::try_from(self.at.saturating_sub(start)).unwrap_or(0);
        let bits = read.saturating_mul(7);
        let negative = bits < 64 && number >> bits.saturating_sub(1) & 1 == 1;
        Ok(match negative {
            true => number | u64::MAX.checked_shl(bits).unwrap_or(0),
            false => number,
        })
    }

    fn leb(&mut self, most: u32) -> Read<u64> {
        let mut number = 0;
        for place in 0..most {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits.checked_shl(place.saturating_mul(7)).unwrap_or(0);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        self.malformed()
    }
}
