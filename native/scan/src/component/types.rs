//! Types of components. They nest: the type of a component declares further types.

use crate::Limit;
use crate::names::name;
use crate::reader::{Read, Reader};
use crate::tally::Tally;
use crate::types::{self as core, members};

/// Scans a section of component types.
pub fn section(section: &mut Reader, tally: &mut Tally) -> Read<()> {
    for _ in 0..section.u32()? {
        one(section, tally)?;
    }
    Ok(())
}

/// Scans a section of core types.
pub fn core_section(section: &mut Reader, tally: &mut Tally) -> Read<()> {
    for _ in 0..section.u32()? {
        core_type(section, tally)?;
    }
    Ok(())
}

/// Maximum nesting of types, whatever the limit.
const DEEPEST: usize = 128;

/// The remaining declarations of each open type.
struct Open {
    left: [u64; DEEPEST],
    depth: usize,
}

impl Open {
    fn push(&mut self, declarations: u64, tally: &Tally, reader: &Reader) -> Read<()> {
        let depth = u64::try_from(self.depth)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        tally.check(Limit::Nesting, depth, reader.at())?;
        let Some(slot) = self.left.get_mut(self.depth) else {
            return reader.malformed();
        };
        *slot = declarations;
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    /// Whether there is another declaration to read.
    fn next(&mut self) -> bool {
        while let Some(place) = self.depth.checked_sub(1) {
            match self.left.get_mut(place) {
                Some(left) if *left > 0 => {
                    *left = left.saturating_sub(1);
                    return true;
                }
                _ => self.depth = place,
            }
        }
        false
    }
}

/// A type with everything nested in it.
fn one(reader: &mut Reader, tally: &mut Tally) -> Read<()> {
    let mut open = Open {
        left: [0; DEEPEST],
        depth: 0,
    };
    definition(reader, tally, &mut open)?;
    while open.next() {
        declaration(reader, tally, &mut open)?;
    }
    Ok(())
}

fn declaration(reader: &mut Reader, tally: &mut Tally, open: &mut Open) -> Read<()> {
    match reader.byte()? {
        0x00 => core_type(reader, tally),
        0x01 => definition(reader, tally, open),
        0x02 => alias(reader, tally),
        0x03 => {
            tally.add(Limit::Imports, 1, reader.at())?;
            extern_name(reader, tally)?;
            external(reader).map(|_| ())
        }
        0x04 => {
            tally.add(Limit::Exports, 1, reader.at())?;
            extern_name(reader, tally)?;
            external(reader).map(|_| ())
        }
        _ => reader.malformed(),
    }
}

/// A type; the declarations of a component's or an instance's follow.
fn definition(reader: &mut Reader, tally: &mut Tally, open: &mut Open) -> Read<()> {
    tally.add(Limit::Types, 1, reader.at())?;
    match reader.byte()? {
        0x3f => resource(reader),
        0x40 | 0x43 => function(reader, tally),
        0x41 | 0x42 => {
            let declarations = members(reader, tally)?;
            open.push(declarations, tally, reader)
        }
        0x72 => each(reader, tally, |reader, tally| {
            name(reader, tally)?;
            reader.index()
        }),
        0x71 => each(reader, tally, case),
        0x70 | 0x6b => reader.index(),
        0x63 => {
            reader.index()?;
            reader.index()
        }
        0x6f => each(reader, tally, |reader, _| reader.index()),
        0x6e | 0x6d => each(reader, tally, name),
        0x6a => {
            optional(reader)?;
            optional(reader)
        }
        0x69 | 0x68 => reader.u32().map(|_| ()),
        0x67 => {
            reader.index()?;
            reader.u32().map(|_| ())
        }
        0x66 | 0x65 => optional(reader),
        0x64 | 0x73..=0x7f => Ok(()),
        _ => reader.malformed(),
    }
}

fn each(
    reader: &mut Reader,
    tally: &mut Tally,
    member: fn(&mut Reader, &Tally) -> Read<()>,
) -> Read<()> {
    for _ in 0..members(reader, tally)? {
        member(reader, tally)?;
    }
    Ok(())
}

fn case(reader: &mut Reader, tally: &Tally) -> Read<()> {
    name(reader, tally)?;
    optional(reader)?;
    match reader.byte()? {
        0x00 => Ok(()),
        _ => reader.u32().map(|_| ()),
    }
}

fn optional(reader: &mut Reader) -> Read<()> {
    match reader.byte()? {
        0x00 => Ok(()),
        0x01 => reader.index(),
        _ => reader.malformed(),
    }
}

fn resource(reader: &mut Reader) -> Read<()> {
    core::value(reader)?;
    match reader.byte()? {
        0x00 => Ok(()),
        _ => reader.u32().map(|_| ()),
    }
}

fn function(reader: &mut Reader, tally: &mut Tally) -> Read<()> {
    each(reader, tally, |reader, tally| {
        name(reader, tally)?;
        reader.index()
    })?;
    match reader.byte()? {
        0x00 => reader.index(),
        // An older form named the results; it must have none.
        _ => reader.byte().map(|_| ()),
    }
}

fn alias(reader: &mut Reader, tally: &Tally) -> Read<()> {
    super::sort(reader)?;
    match reader.byte()? {
        0x00 | 0x01 => {
            reader.u32()?;
            name(reader, tally)
        }
        _ => {
            reader.u32()?;
            reader.u32().map(|_| ())
        }
    }
}

/// The name of an import or an export of a component.
pub fn extern_name(reader: &mut Reader, tally: &Tally) -> Read<()> {
    let options = reader.byte()? == 0x02;
    name(reader, tally)?;
    if options {
        for _ in 0..reader.u32()? {
            reader.byte()?;
            name(reader, tally)?;
        }
    }
    Ok(())
}

/// The type of an import or an export of a component, and its sort.
pub fn external(reader: &mut Reader) -> Read<u8> {
    let sort = super::sort(reader)?;
    match sort {
        0x02 => reader.index()?,
        0x03 => {
            // Equal to the type with this index, or a resource, about which nothing more follows.
            if reader.byte()? == 0x00 {
                reader.u32()?;
            }
        }
        _ => reader.u32().map(|_| ())?,
    }
    Ok(sort)
}

/// A type in a core type section. 0x50 is a module type; a core `sub` type with that opcode has a prefix byte.
fn core_type(reader: &mut Reader, tally: &mut Tally) -> Read<()> {
    match reader.peek()? {
        0x00 => {
            reader.byte()?;
            core::group(reader, tally, |_| {})
        }
        0x50 => {
            reader.byte()?;
            for _ in 0..members(reader, tally)? {
                module_declaration(reader, tally)?;
            }
            Ok(())
        }
        _ => core::group(reader, tally, |_| {}),
    }
}

fn module_declaration(reader: &mut Reader, tally: &mut Tally) -> Read<()> {
    match reader.byte()? {
        0x00 => core::import(reader, tally),
        0x01 => core::group(reader, tally, |_| {}),
        0x02 => {
            reader.skip(2)?;
            reader.u32()?;
            reader.u32().map(|_| ())
        }
        0x03 => {
            tally.add(Limit::Exports, 1, reader.at())?;
            name(reader, tally)?;
            core::external(reader)
        }
        _ => reader.malformed(),
    }
}
