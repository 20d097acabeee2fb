//! Core modules, section by section (core specification, section 5.5).

use crate::constants::{Value, expression};
use crate::image::Tables;
use crate::names::{custom, name};
use crate::reader::{Read, Reader, Stop};
use crate::tally::Tally;
use crate::{Limit, code, segments, types};

/// What later sections of a module need to know of earlier ones.
pub struct Module {
    /// The most members that one type has.
    pub widest: u64,
    /// Tables that were imported or defined so far.
    tables: u32,
}

/// Scans a module, which ends with the bytes.
pub fn scan(bytes: &mut Reader, tally: &mut Tally) -> Read<()> {
    let mut module = Module {
        widest: 0,
        tables: 0,
    };
    let mut tables = Tables::new();
    bytes.skip(8)?;
    while !bytes.is_empty() {
        let id = bytes.byte()?;
        let size = bytes.u32()?;
        let mut section = bytes.take(size.into())?;
        match scan_section(id, &mut section, tally, &mut module, &mut tables) {
            // The parser ends here, so what follows is never compiled; it counts all the same.
            Ok(()) | Err(Stop::Malformed(_)) => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(())
}

fn scan_section(
    id: u8,
    section: &mut Reader,
    tally: &mut Tally,
    module: &mut Module,
    tables: &mut Tables,
) -> Read<()> {
    match id {
        0 => custom(section, tally),
        1 => all_types(section, tally, module),
        2 => imports(section, tally, module),
        3 => {
            let at = section.at();
            Ok(tally.add(Limit::Functions, section.u32()?.into(), at)?)
        }
        4 => own_tables(section, tally, module, tables),
        5 => {
            let at = section.at();
            Ok(tally.add(Limit::Memories, section.u32()?.into(), at)?)
        }
        6 => globals(section, tally, module),
        7 => exports(section, tally),
        9 => segments::elements(section, tally, module, tables),
        10 => code::bodies(section, tally, module),
        11 => segments::data(section, tally, module),
        _ => Ok(()),
    }
}

fn all_types(section: &mut Reader, tally: &mut Tally, module: &mut Module) -> Read<()> {
    for _ in 0..section.u32()? {
        let widest = types::group(section, tally)?;
        module.widest = module.widest.max(widest);
    }
    Ok(())
}

fn imports(section: &mut Reader, tally: &mut Tally, module: &mut Module) -> Read<()> {
    for _ in 0..section.u32()? {
        let before = section.clone();
        types::import(section, tally)?;
        if kind(before, tally)? == 0x01 {
            module.tables = module.tables.saturating_add(1);
        }
    }
    Ok(())
}

/// Of what kind an import is.
fn kind(mut import: Reader, tally: &Tally) -> Read<u8> {
    name(&mut import, tally)?;
    name(&mut import, tally)?;
    import.byte()
}

fn own_tables(
    section: &mut Reader,
    tally: &mut Tally,
    module: &mut Module,
    tables: &mut Tables,
) -> Read<()> {
    for _ in 0..section.u32()? {
        let at = section.at();
        tally.add(Limit::Tables, 1, at)?;
        let filled = section.peek()? == 0x40;
        if filled {
            section.skip(2)?;
        }
        let least = types::table(section)?;
        if filled && expression(section, tally, module.widest)? == Value::Function {
            tables.reach(tally, module.tables, least, at)?;
        }
        module.tables = module.tables.saturating_add(1);
    }
    Ok(())
}

fn globals(section: &mut Reader, tally: &mut Tally, module: &Module) -> Read<()> {
    for _ in 0..section.u32()? {
        tally.add(Limit::Globals, 1, section.at())?;
        types::value(section)?;
        section.byte()?;
        expression(section, tally, module.widest)?;
    }
    Ok(())
}

fn exports(section: &mut Reader, tally: &mut Tally) -> Read<()> {
    for _ in 0..section.u32()? {
        tally.add(Limit::Exports, 1, section.at())?;
        name(section, tally)?;
        section.byte()?;
        section.u32()?;
    }
    Ok(())
}
