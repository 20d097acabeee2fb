//! How values are written (DWARF 5, section 7.5.6).

use crate::Refusal;
use crate::reader::{Read, Reader, Stop};

/// What the size of some values depends on.
#[derive(Clone, Copy)]
pub struct Encoding {
    /// Whether offsets have 64 bits.
    pub wide: bool,
    /// The version of DWARF.
    pub version: u64,
    /// Bytes of an address.
    pub address: u8,
}

impl Encoding {
    /// Bytes of an offset.
    pub fn offset(&self) -> u64 {
        if self.wide { 8 } else { 4 }
    }
}

/// A value, as far as it matters here.
pub enum Value<'a> {
    /// A text in place.
    Text(u64),
    /// The offset of a text in `.debug_str`.
    TextAt(u64),
    /// The same in `.debug_line_str`.
    LineTextAt(u64),
    /// The index of a text.
    TextIndex(u64),
    /// An offset within the unit.
    Entry(u64),
    /// An offset in `.debug_info`.
    EntryAt(u64),
    /// An offset in another section, or a number.
    Number(u64),
    /// The index of a list.
    Index(u64),
    /// Bytes.
    Block(Reader<'a>),
    /// Anything else.
    Other,
}

/// The debug information cannot be checked from here on.
pub fn unknown<T>(reader: &Reader) -> Read<T> {
    Err(Stop::Refused(Refusal::Malformed {
        offset: reader.at(),
    }))
}

/// A number in LEB128, signed or not. Longer ones than 64 bits need are refused: parsers differ in how they skip them.
pub fn uleb(reader: &mut Reader) -> Read<u64> {
    let start = reader.clone();
    match reader.u64() {
        Ok(number) => Ok(number),
        Err(_) if start.left() >= 10 => unknown(&start),
        Err(ended) => Err(ended),
    }
}

/// The length of a unit, and whether its offsets have 64 bits.
pub fn length(reader: &mut Reader) -> Read<(u64, bool)> {
    match reader.fixed(4)? {
        0xffff_ffff => Ok((reader.fixed(8)?, true)),
        length if length < 0xffff_fff0 => Ok((length, false)),
        _ => reader.malformed(),
    }
}

/// The bytes of a text up to its NUL, which is skipped.
pub fn text(reader: &mut Reader) -> Read<u64> {
    match reader.rest().iter().position(|byte| *byte == 0) {
        Some(length) => {
            let length = length as u64;
            reader.skip(length.saturating_add(1))?;
            Ok(length)
        }
        None => reader.malformed(),
    }
}

/// Reads a value.
pub fn value<'a>(reader: &mut Reader<'a>, form: u64, encoding: Encoding) -> Read<Value<'a>> {
    use Value::{Block, Entry, EntryAt, Index, LineTextAt, Number, Other, Text, TextAt, TextIndex};
    let offset = encoding.offset();
    Ok(match form {
        // addr
        0x01 => Number(reader.fixed(encoding.address.into())?),
        // block2, block4, block, block1, exprloc
        0x03 => Block(sized(reader, 2)?),
        0x04 => Block(sized(reader, 4)?),
        0x0a => Block(sized(reader, 1)?),
        0x09 | 0x18 => {
            let size = uleb(reader)?;
            Block(reader.take(size)?)
        }
        // data2, data4, data8, data1, data16
        0x05 => Number(reader.fixed(2)?),
        0x06 => Number(reader.fixed(4)?),
        0x07 => Number(reader.fixed(8)?),
        0x0b => Number(reader.fixed(1)?),
        0x1e => Block(reader.take(16)?),
        // string, flag, sdata, udata
        0x08 => Text(text(reader)?),
        0x0c => Number(reader.fixed(1)?),
        0x0d | 0x0f => Number(uleb(reader)?),
        // strp, line_strp
        0x0e => TextAt(reader.fixed(offset)?),
        0x1f => LineTextAt(reader.fixed(offset)?),
        // strx, strx1 to strx4
        0x1a | 0x1f02 => TextIndex(uleb(reader)?),
        0x25..=0x28 => TextIndex(reader.fixed(form.saturating_sub(0x24))?),
        // ref_addr, an address before DWARF 3
        0x10 if encoding.version < 3 => EntryAt(reader.fixed(encoding.address.into())?),
        0x10 => EntryAt(reader.fixed(offset)?),
        // ref1, ref2, ref4, ref8, ref_udata
        0x11 => Entry(reader.fixed(1)?),
        0x12 => Entry(reader.fixed(2)?),
        0x13 => Entry(reader.fixed(4)?),
        0x14 => Entry(reader.fixed(8)?),
        0x15 => Entry(uleb(reader)?),
        // sec_offset, flag_present, implicit_const
        0x17 => Number(reader.fixed(offset)?),
        0x19 | 0x21 => Other,
        // addrx, addrx1 to addrx4
        0x1b | 0x1f01 => ignored(uleb(reader))?,
        0x29..=0x2c => ignored(reader.fixed(form.saturating_sub(0x28)))?,
        // ref_sig8
        0x20 => ignored(reader.fixed(8))?,
        // loclistx, rnglistx
        0x22 | 0x23 => Index(uleb(reader)?),
        // indirect: the form is in the entry
        0x16 => {
            let form = uleb(reader)?;
            match form {
                0x16 | 0x21 => return unknown(reader),
                form => value(reader, form, encoding)?,
            }
        }
        _ => return unknown(reader),
    })
}

fn sized<'a>(reader: &mut Reader<'a>, bytes: u64) -> Read<Reader<'a>> {
    let size = reader.fixed(bytes)?;
    reader.take(size)
}

fn ignored<'a>(read: Read<u64>) -> Read<Value<'a>> {
    read.map(|_| Value::Other)
}
