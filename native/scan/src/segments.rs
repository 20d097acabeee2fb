//! Segments of elements and of data (core specification, sections 5.5.12 and 5.5.14).

use crate::Limit;
use crate::constants::{Value, expression};
use crate::image::{Memories, Tables};
use crate::module::Module;
use crate::reader::{Read, Reader};
use crate::tally::Tally;
use crate::types::value;

/// Functions in a segment that cost one instruction, when code fills the table.
const NAMED: u64 = 4;

/// Scans the element section.
pub fn elements(
    section: &mut Reader,
    tally: &mut Tally,
    module: &mut Module,
    tables: &mut Tables,
) -> Read<()> {
    for _ in 0..section.u32()? {
        let at = section.at();
        tally.add(Limit::Segments, 1, at)?;
        let flags = section.u32()?;
        let (active, expressions) = (flags & 1 == 0, flags & 4 != 0);
        let table = if active && flags & 2 != 0 {
            section.u32()?
        } else {
            0
        };
        let offset = match active {
            true => Some(expression(section, tally, module)?),
            false => None,
        };
        let size = entries(section, tally, module, flags)?;
        let end = match offset {
            Some(Value::Number(start)) => Some(start.saturating_add(size)),
            _ => None,
        };
        if let Some(end) = end {
            tables.reach(tally, table, end, at)?;
        }
        // Declared segments are dropped. A segment that cannot be written out becomes code, as expressions always do.
        let declared = flags & 3 == 3;
        let image = active && tables.is_image(table, end.filter(|_| !expressions));
        if !declared && !image && !expressions {
            tally.add(Limit::Constants, size.div_ceil(NAMED), at)?;
        }
    }
    Ok(())
}

/// Skips the functions or expressions of a segment and returns their number.
fn entries(section: &mut Reader, tally: &mut Tally, module: &mut Module, flags: u32) -> Read<u64> {
    let expressions = flags & 4 != 0;
    match (flags & 3 != 0, expressions) {
        (true, true) => value(section)?,
        (true, false) => section.skip(1)?,
        _ => {}
    }
    let count = section.u32()?;
    for _ in 0..count {
        match expressions {
            // Each is code that runs at instantiation.
            true => {
                tally.add(Limit::Constants, 1, section.at())?;
                expression(section, tally, module).map(|_| ())?
            }
            false => section.u32().map(|_| ())?,
        }
    }
    Ok(count.into())
}

/// Scans the data section.
pub fn data(section: &mut Reader, tally: &mut Tally, module: &mut Module) -> Read<()> {
    let at = section.at();
    let mut memories = Memories::new();
    for _ in 0..section.u32()? {
        tally.add(Limit::Segments, 1, section.at())?;
        let flags = section.u32()?;
        let memory = if flags == 2 { section.u32()? } else { 0 };
        let offset = match flags {
            1 => None,
            _ => Some(expression(section, tally, module)?),
        };
        let size = section.u32()?.into();
        section.skip(size)?;
        match offset {
            Some(Value::Number(start)) => memories.add(memory, Some(start), size),
            Some(_) => memories.add(memory, None, size),
            None => {}
        }
    }
    memories.finish(tally, at)
}
