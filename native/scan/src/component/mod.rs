//! Components, section by section (component model, `Binary.md`).

mod instances;
mod scopes;
mod sizes;
mod types;

use crate::names::{custom, name};
use crate::reader::{Read, Reader, Stop};
use crate::tally::Tally;
use crate::{Limit, dwarf, module};
use scopes::Scopes;
use sizes::Sizes;

/// Scans a component that ends with the bytes.
pub fn scan(bytes: &mut Reader, tally: &mut Tally) -> Read<()> {
    let mut scopes = Scopes::new();
    let mut sizes = Sizes::new();
    bytes.skip(8)?;
    scopes.open(tally, bytes)?;
    while let Some(size) = scopes.left(bytes.at()) {
        if size == 0 {
            scopes.close();
            sizes.close();
            continue;
        }
        let at = bytes.at();
        let id = bytes.byte()?;
        let size = bytes.u32()?;
        // Also not beyond the end of the component that it is in.
        let left = scopes
            .left(bytes.at())
            .and_then(|left| u32::try_from(left).ok());
        if left.is_some_and(|left| size > left) {
            return bytes.malformed();
        }
        let mut section = bytes.clone().take(size.into())?;
        if id == 4 {
            tally.add(Limit::Parts, 1, at)?;
            section.skip(8)?;
            scopes.open(tally, &section)?;
            sizes.open();
            bytes.skip(8)?;
            continue;
        }
        bytes.skip(size.into())?;
        scan_section(id, &mut section, tally, &mut scopes, &mut sizes)?;
        tally.check(Limit::Instances, scopes.instances(), at)?;
    }
    Ok(())
}

fn scan_section(
    id: u8,
    section: &mut Reader,
    tally: &mut Tally,
    scopes: &mut Scopes,
    sizes: &mut Sizes,
) -> Read<()> {
    match id {
        0 => forgiving(custom(section, tally, &mut dwarf::Sections::default())),
        1 => {
            tally.add(Limit::Parts, 1, section.at())?;
            module::scan(section, tally)
        }
        2 => instances::core_section(section, tally, scopes),
        8 => functions(section, tally, scopes, sizes),
        3 => types::core_section(section, tally),
        5 => instances::section(section, tally, scopes, sizes),
        6 => aliases(section, tally, scopes, sizes),
        7 => types::section(section, tally, sizes),
        10 => imports(section, tally, scopes, sizes),
        11 => exports(section, tally, scopes, sizes),
        _ => Ok(()),
    }
}

/// Its errors are left to the parser, which reports them in bounded time.
fn forgiving(read: Read<()>) -> Read<()> {
    match read {
        Err(Stop::Malformed(_)) => Ok(()),
        other => other,
    }
}

/// Canonical functions. The validator reads the type of each again.
fn functions(
    section: &mut Reader,
    tally: &mut Tally,
    scopes: &mut Scopes,
    sizes: &Sizes,
) -> Read<()> {
    let at = section.at();
    let count = section.u32()?.into();
    scopes.add(count);
    Ok(tally.add(Limit::TypeWork, sizes.largest().saturating_mul(count), at)?)
}

fn aliases(
    section: &mut Reader,
    tally: &mut Tally,
    scopes: &mut Scopes,
    sizes: &mut Sizes,
) -> Read<()> {
    for _ in 0..items(section, scopes)? {
        tally.add(Limit::Aliases, 1, section.at())?;
        let sort = sort(section)?;
        let (is_component, is_type) = (sort == COMPONENT, sort == types::TYPE);
        match section.byte()? {
            0x00 | 0x01 => {
                section.u32()?;
                name(section, tally)?;
                if is_component {
                    scopes.unknown(section)?;
                }
                if is_type {
                    sizes.define_exported();
                }
            }
            0x02 => {
                let (out, index) = (section.u32()?, section.u32()?);
                if is_component {
                    scopes.outer(out, index, section)?;
                }
                if is_type {
                    sizes.define(sizes.outer(out, index));
                }
            }
            _ => return section.malformed(),
        }
    }
    Ok(())
}

/// How many items a section or an instance has.
fn items(section: &mut Reader, scopes: &mut Scopes) -> Read<u32> {
    let items = section.u32()?;
    scopes.add_items(items.into());
    Ok(items)
}

const COMPONENT: u8 = 0x04;

/// The sort of an item. Core items have one more byte.
fn sort(reader: &mut Reader) -> Read<u8> {
    let sort = reader.byte()?;
    if sort == 0x00 {
        reader.byte()?;
    }
    Ok(sort)
}

fn imports(
    section: &mut Reader,
    tally: &mut Tally,
    scopes: &mut Scopes,
    sizes: &mut Sizes,
) -> Read<()> {
    for _ in 0..items(section, scopes)? {
        tally.add(Limit::Imports, 1, section.at())?;
        types::extern_name(section, tally)?;
        let (sort, size) = types::external(section, sizes)?;
        // An instance with resources has types of its own wherever it is imported.
        tally.add(Limit::TypeWork, size, section.at())?;
        sizes.declare(size, sort == types::TYPE);
        if sort == COMPONENT {
            scopes.unknown(section)?;
        }
    }
    Ok(())
}

fn exports(
    section: &mut Reader,
    tally: &mut Tally,
    scopes: &mut Scopes,
    sizes: &mut Sizes,
) -> Read<()> {
    for _ in 0..items(section, scopes)? {
        tally.add(Limit::Exports, 1, section.at())?;
        types::extern_name(section, tally)?;
        let sort = sort(section)?;
        let index = section.u32()?;
        let ascribed = match section.byte()? {
            0x01 => Some(types::external(section, sizes)?),
            _ => None,
        };
        if let Some((_, size)) = ascribed {
            tally.add(Limit::TypeWork, size, section.at())?;
        }
        if sort == types::TYPE {
            let size = ascribed.map_or_else(|| sizes.of(Some(index)), |(_, size)| size);
            sizes.declare(size, true);
        }
        if sort == COMPONENT {
            scopes.outer(0, index, section)?;
        }
    }
    Ok(())
}
