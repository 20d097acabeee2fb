//! Names, and the custom section with the names of functions.

use crate::Limit;
use crate::dwarf;
use crate::reader::{Read, Reader};
use crate::tally::Tally;

/// Skips a name.
pub fn name(reader: &mut Reader, tally: &Tally) -> Read<()> {
    let at = reader.at();
    let size = reader.u32()?.into();
    tally.check(Limit::NameSize, size, at)?;
    reader.skip(size)
}

/// Skips the name of an import or an export. Programs look them up, and hash and compare them whole.
pub fn external(reader: &mut Reader, tally: &mut Tally) -> Read<()> {
    let at = reader.at();
    let size = reader.clone().u32()?.into();
    tally.add(Limit::ExternalNames, size, at)?;
    name(reader, tally)
}

/// The content of a custom section. In unknown ones only the name is read; those of debug information are remembered.
pub fn custom<'a>(
    section: &mut Reader<'a>,
    tally: &mut Tally,
    debug: &mut dwarf::Sections<'a>,
) -> Read<()> {
    let size = section.u32()?;
    let name = section.take(size.into())?;
    match name.rest() {
        b"name" => subsections(section, tally),
        name => {
            debug.add(name, section);
            Ok(())
        }
    }
}

/// Core specification, appendix "Name Section". A trap copies the name of each of its frames.
fn subsections(section: &mut Reader, tally: &mut Tally) -> Read<()> {
    while !section.is_empty() {
        let id = section.byte()?;
        let size = section.u32()?;
        let mut part = section.take(size.into())?;
        match id {
            0 => one(&mut part, tally)?,
            // Locals, labels and fields have one map per function or type.
            2 | 3 | 10 => indirect(&mut part, tally)?,
            _ => map(&mut part, tally)?,
        }
    }
    Ok(())
}

fn one(part: &mut Reader, tally: &mut Tally) -> Read<()> {
    tally.add(Limit::Names, 1, part.at())?;
    name(part, tally)
}

fn map(part: &mut Reader, tally: &mut Tally) -> Read<()> {
    for _ in 0..part.u32()? {
        part.u32()?;
        one(part, tally)?;
    }
    Ok(())
}

fn indirect(part: &mut Reader, tally: &mut Tally) -> Read<()> {
    for _ in 0..part.u32()? {
        part.u32()?;
        map(part, tally)?;
    }
    Ok(())
}
