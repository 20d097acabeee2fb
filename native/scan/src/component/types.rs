//! Types of components. They nest: the type of a component declares further types.

use super::sizes::{Sizes, sum};
use crate::Limit;
use crate::names::{self, name};
use crate::reader::{Read, Reader};
use crate::tally::Tally;
use crate::types::{self as core, members};

/// Scans a section of component types.
pub fn section(section: &mut Reader, tally: &mut Tally, sizes: &mut Sizes) -> Read<()> {
    for _ in 0..section.u32()? {
        one(section, tally, sizes)?;
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
    fn next(&mut self, sizes: &mut Sizes) -> bool {
        while let Some(place) = self.depth.checked_sub(1) {
            match self.left.get_mut(place) {
                Some(left) if *left > 0 => {
                    *left = left.saturating_sub(1);
                    return true;
                }
                _ => {
                    self.depth = place;
                    let size = sizes.close();
                    sizes.define(size.saturating_add(1));
                }
            }
        }
        false
    }
}

/// A type with everything nested in it.
fn one(reader: &mut Reader, tally: &mut Tally, sizes: &mut Sizes) -> Read<()> {
    let mut open = Open {
        left: [0; DEEPEST],
        depth: 0,
    };
    definition(reader, tally, &mut open, sizes)?;
    while open.next(sizes) {
        declaration(reader, tally, &mut open, sizes)?;
    }
    Ok(())
}

fn declaration(
    reader: &mut Reader,
    tally: &mut Tally,
    open: &mut Open,
    sizes: &mut Sizes,
) -> Read<()> {
    let limit = match reader.byte()? {
        0x00 => return core_type(reader, tally),
        0x01 => return definition(reader, tally, open, sizes),
        0x02 => return alias(reader, tally, sizes),
        0x03 => Limit::Imports,
        0x04 => Limit::Exports,
        _ => return reader.malformed(),
    };
    tally.add(limit, 1, reader.at())?;
    extern_name(reader, tally)?;
    let (sort, size) = external(reader, sizes)?;
    // As outside of types.
    tally.add(Limit::TypeWork, size, reader.at())?;
    sizes.declare(size, sort == TYPE);
    Ok(())
}

/// The sort of types.
pub const TYPE: u8 = 0x03;

/// A type; the declarations of a component's or an instance's follow.
fn definition(
    reader: &mut Reader,
    tally: &mut Tally,
    open: &mut Open,
    sizes: &mut Sizes,
) -> Read<()> {
    tally.add(Limit::Types, 1, reader.at())?;
    let kind = reader.byte()?;
    if matches!(kind, 0x41 | 0x42) {
        let declarations = members(reader, tally)?;
        open.push(declarations, tally, reader)?;
        sizes.open();
        return Ok(());
    }
    let size = defined(kind, reader, tally, sizes)?;
    sizes.define(size.saturating_add(1));
    Ok(())
}

/// Any other type than that of a component or an instance; returns the size of what is in it.
fn defined(kind: u8, reader: &mut Reader, tally: &mut Tally, sizes: &Sizes) -> Read<u64> {
    let part = |reader: &mut Reader| Ok(sizes.of(reader.reference()?));
    match kind {
        0x3f => resource(reader).map(|()| 1),
        0x40 | 0x43 => function(reader, tally, sizes),
        0x72 => fields(reader, tally, sizes),
        0x71 => sum(members(reader, tally)?, || {
            name(reader, tally)?;
            let size = optional(reader, sizes)?;
            if reader.byte()? != 0x00 {
                reader.u32()?;
            }
            Ok(size.saturating_add(1))
        }),
        0x70 | 0x6b => part(reader),
        0x63 => sum(2, || part(reader)),
        0x6f => sum(members(reader, tally)?, || part(reader)),
        0x6e | 0x6d => sum(members(reader, tally)?, || name(reader, tally).map(|()| 1)),
        0x6a => sum(2, || optional(reader, sizes)),
        0x69 | 0x68 => reader.u32().map(|_| 1),
        0x67 => {
            let size = part(reader)?;
            reader.u32().map(|_| size)
        }
        0x66 | 0x65 => optional(reader, sizes),
        0x64 | 0x73..=0x7f => Ok(1),
        _ => reader.malformed(),
    }
}

/// Names with their types.
fn fields(reader: &mut Reader, tally: &mut Tally, sizes: &Sizes) -> Read<u64> {
    sum(members(reader, tally)?, || {
        name(reader, tally)?;
        Ok(sizes.of(reader.reference()?))
    })
}

fn optional(reader: &mut Reader, sizes: &Sizes) -> Read<u64> {
    match reader.byte()? {
        0x00 => Ok(0),
        0x01 => Ok(sizes.of(reader.reference()?)),
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

fn function(reader: &mut Reader, tally: &mut Tally, sizes: &Sizes) -> Read<u64> {
    let params = fields(reader, tally, sizes)?;
    let result = match reader.byte()? {
        0x00 => sizes.of(reader.reference()?),
        // An older form named the results; it must have none.
        _ => reader.byte().map(|_| 0)?,
    };
    Ok(params.saturating_add(result))
}

fn alias(reader: &mut Reader, tally: &mut Tally, sizes: &mut Sizes) -> Read<()> {
    tally.add(Limit::Aliases, 1, reader.at())?;
    let is_type = super::sort(reader)? == TYPE;
    match reader.byte()? {
        0x00 | 0x01 => {
            reader.u32()?;
            name(reader, tally)?;
            if is_type {
                sizes.define_exported();
            }
        }
        _ => {
            let (out, index) = (reader.u32()?, reader.u32()?);
            if is_type {
                sizes.define(sizes.outer(out, index));
            }
        }
    }
    Ok(())
}

/// The name of an import or an export of a component.
pub fn extern_name(reader: &mut Reader, tally: &mut Tally) -> Read<()> {
    let options = reader.byte()? == 0x02;
    names::external(reader, tally)?;
    if options {
        for _ in 0..reader.u32()? {
            reader.byte()?;
            name(reader, tally)?;
        }
    }
    Ok(())
}

/// The type of an import or an export of a component: its sort and its size.
pub fn external(reader: &mut Reader, sizes: &Sizes) -> Read<(u8, u64)> {
    let sort = super::sort(reader)?;
    let size = match sort {
        0x02 => sizes.of(reader.reference()?),
        // Equal to the type with this index, or a resource, about which nothing more follows.
        TYPE => match reader.byte()? {
            0x00 => sizes.of(Some(reader.u32()?)),
            _ => 1,
        },
        // Core modules, whose types are in another space.
        0x00 => reader.u32().map(|_| sizes.largest())?,
        _ => sizes.of(Some(reader.u32()?)),
    };
    Ok((sort, size))
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
            names::external(reader, tally)?;
            core::external(reader)
        }
        _ => reader.malformed(),
    }
}
