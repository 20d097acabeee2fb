//! Types of core WebAssembly (core specification, section 5.3).

use crate::Limit;
use crate::names;
use crate::reader::{Read, Reader};
use crate::tally::Tally;

/// A type of core WebAssembly, reduced to its cost for the compiler.
#[derive(Clone, Copy, Default)]
pub struct Type {
    /// The number of its fields, or of its parameters and results.
    pub members: u64,
    /// Whether it is that of a function that returns a reference that the garbage collector knows.
    pub returns_reference: bool,
    /// Whether it is that of a function that takes one.
    pub takes_reference: bool,
}

impl Type {
    fn of(members: u64) -> Self {
        Type {
            members,
            ..Type::default()
        }
    }
}

/// One entry of a type section: a type or a group of types. `each` gets each type.
pub fn group(reader: &mut Reader, tally: &mut Tally, mut each: impl FnMut(Type)) -> Read<()> {
    let mut count = 1;
    if reader.peek()? == 0x4e {
        reader.byte()?;
        count = reader.u32()?;
    }
    for _ in 0..count {
        each(sub(reader, tally)?);
    }
    Ok(())
}

fn sub(reader: &mut Reader, tally: &mut Tally) -> Read<Type> {
    tally.add(Limit::Types, 1, reader.at())?;
    if matches!(reader.peek()?, 0x4f | 0x50) {
        reader.byte()?;
        for _ in 0..reader.u32()? {
            reader.u32()?;
        }
    }
    composite(reader, tally)
}

fn composite(reader: &mut Reader, tally: &mut Tally) -> Read<Type> {
    match reader.byte()? {
        0x60 => {
            let (params, takes_reference) = values(reader, tally)?;
            let (results, returns_reference) = values(reader, tally)?;
            Ok(Type {
                members: params.saturating_add(results),
                returns_reference,
                takes_reference,
            })
        }
        0x5f => {
            let fields = members(reader, tally)?;
            for _ in 0..fields {
                field(reader)?;
            }
            Ok(Type::of(fields))
        }
        0x5e => field(reader).map(|()| Type::of(1)),
        0x5d => reader.index().map(|()| Type::of(1)),
        // Shared types.
        0x65 => match reader.peek()? {
            0x5d..=0x60 => composite_of(reader, tally),
            _ => reader.malformed(),
        },
        _ => reader.malformed(),
    }
}

/// A composite type after its optional prefix.
fn composite_of(reader: &mut Reader, tally: &mut Tally) -> Read<Type> {
    match reader.peek()? {
        0x65 => reader.malformed(),
        _ => composite(reader, tally),
    }
}

/// How many values there are, and whether one of them is a reference that the garbage collector knows.
fn values(reader: &mut Reader, tally: &mut Tally) -> Read<(u64, bool)> {
    let count = members(reader, tally)?;
    let mut references = false;
    for _ in 0..count {
        references |= is_collected(reader.peek()?);
        value(reader)?;
    }
    Ok((count, references))
}

/// Whether a type that begins like this is that of a reference that the garbage collector knows: all but those to functions.
pub fn is_collected(first: u8) -> bool {
    matches!(first, 0x63..=0x6f | 0x71 | 0x72 | 0x74)
}

/// Reads a number of fields.
pub fn members(reader: &mut Reader, tally: &mut Tally) -> Read<u64> {
    let at = reader.at();
    let count = reader.u32()?.into();
    tally.add(Limit::TypeMembers, count, at)?;
    Ok(count)
}

fn field(reader: &mut Reader) -> Read<()> {
    value(reader)?;
    reader.byte()?;
    Ok(())
}

/// A value type or a field type.
pub fn value(reader: &mut Reader) -> Read<()> {
    match reader.byte()? {
        0x63 | 0x64 => heap(reader),
        _ => Ok(()),
    }
}

/// The target of a reference.
pub fn heap(reader: &mut Reader) -> Read<()> {
    // Shared, exact.
    while matches!(reader.peek()?, 0x65 | 0x62) {
        reader.byte()?;
    }
    reader.index()
}

/// The minimum size of a table or a memory.
pub fn limits(reader: &mut Reader) -> Read<u64> {
    let flags = reader.byte()?;
    let least = reader.u64()?;
    if flags & 1 != 0 {
        reader.u64()?;
    }
    if flags & 8 != 0 {
        reader.u32()?;
    }
    Ok(least)
}

/// A table type; returns its minimum size.
pub fn table(reader: &mut Reader) -> Read<u64> {
    value(reader)?;
    limits(reader)
}

/// An import of a module, or of a module's type.
pub fn import(reader: &mut Reader, tally: &mut Tally) -> Read<()> {
    tally.add(Limit::Imports, 1, reader.at())?;
    names::external(reader, tally)?;
    names::external(reader, tally)?;
    external(reader)
}

/// The type of an import or an export.
pub fn external(reader: &mut Reader) -> Read<()> {
    match reader.byte()? {
        0x00 | 0x20 => reader.u32().map(|_| ()),
        0x01 => table(reader).map(|_| ()),
        0x02 => limits(reader).map(|_| ()),
        0x03 => field(reader),
        0x04 => {
            reader.byte()?;
            reader.u32().map(|_| ())
        }
        _ => reader.malformed(),
    }
}
