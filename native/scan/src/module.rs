//! Core modules, section by section (core specification, section 5.5).

use crate::constants::{Value, expression};
use crate::image::{LARGEST_TABLE, Tables};
use crate::names::{custom, external, name};
use crate::reader::{Read, Reader, Stop};
use crate::tally::Tally;
use crate::types::Type;
use crate::{Limit, code, dwarf, segments, types};

/// What later sections need to know about earlier ones.
#[derive(Default)]
pub struct Module {
    /// The number of fields of each type; a module has at most 10,000 types.
    types: Vec<u16>,
    /// The parameters and results of each function.
    functions: Vec<u16>,
    /// Imported functions.
    imported: u32,
    /// The largest number of fields of a type.
    pub widest: u64,
    /// The number of tables imported or defined so far.
    tables: u32,
    /// The parameters of each tag.
    tags: Vec<u16>,
    /// Whether each global holds a reference, those imported first.
    values: Vec<bool>,
    /// Globals that are not imported.
    pub globals: u64,
    /// Structures and arrays that are made when the module is instantiated.
    pub made: u64,
}

/// Marks types and functions that return references, beside the number of their members.
const REFERENCE: u16 = 1 << 15;

/// The same for those that take references.
const TAKES: u16 = 1 << 14;

const MEMBERS: u16 = TAKES - 1;

impl Module {
    /// The number of fields of a type.
    pub fn type_of(&self, ty: Option<u32>) -> u64 {
        members_at(&self.types, ty)
    }

    /// The parameters and results of a function.
    pub fn function(&self, function: u32) -> u64 {
        members_at(&self.functions, Some(function))
    }

    /// Whether a type is that of functions that return references.
    pub fn type_returns_reference(&self, ty: u32) -> bool {
        entry(&self.types, ty) & REFERENCE != 0
    }

    /// Whether a function returns references.
    pub fn returns_reference(&self, function: u32) -> bool {
        entry(&self.functions, function) & REFERENCE != 0
    }

    /// Whether a function defined in this module takes references.
    pub fn takes_reference(&self, index: u32) -> bool {
        entry(&self.functions, self.imported.saturating_add(index)) & TAKES != 0
    }

    /// The parameters of a tag.
    pub fn tag(&self, tag: u32) -> u64 {
        members_at(&self.tags, Some(tag))
    }

    /// Whether a global holds a reference that the garbage collector knows.
    pub fn holds_reference(&self, global: u32) -> bool {
        let global = usize::try_from(global).ok();
        let value = global.and_then(|global| self.values.get(global));
        value.copied().unwrap_or(true)
    }

    /// The parameters and results of a function defined in this module.
    pub fn own_function(&self, index: u32) -> u64 {
        self.function(self.imported.saturating_add(index))
    }

    fn add_type(&mut self, ty: Type) {
        self.widest = self.widest.max(ty.members);
        let members = u16::try_from(ty.members).unwrap_or(MEMBERS);
        let returns = if ty.returns_reference { REFERENCE } else { 0 };
        let takes = if ty.takes_reference { TAKES } else { 0 };
        self.types.push(members.min(MEMBERS) | returns | takes);
    }

    fn add_function(&mut self, ty: u32) {
        self.functions.push(entry(&self.types, ty));
    }
}

fn members_at(table: &[u16], index: Option<u32>) -> u64 {
    let entry = index.map_or(0, |index| entry(table, index));
    (entry & MEMBERS).into()
}

fn entry(table: &[u16], index: u32) -> u16 {
    let index = usize::try_from(index).ok();
    let entry = index.and_then(|index| table.get(index));
    entry.copied().unwrap_or(0)
}

/// Scans a module that ends with the bytes.
pub fn scan(bytes: &mut Reader, tally: &mut Tally) -> Read<()> {
    let mut module = Module::default();
    let mut tables = Tables::new();
    let mut debug = dwarf::Sections::default();
    let mut broken = None;
    bytes.skip(8)?;
    while !bytes.is_empty() {
        let id = bytes.byte()?;
        let size = bytes.u32()?;
        let mut section = bytes.take(size.into())?;
        let scanned = match id {
            0 => custom(&mut section, tally, &mut debug),
            id => scan_section(id, &mut section, tally, &mut module, &mut tables),
        };
        match scanned {
            // The parser of WIT reads on after a bad body, and allocates what the next one claims to have.
            Err(Stop::Malformed(at)) if id == CODE => broken = Some(at),
            // The parser stops here, so nothing after it is compiled; it counts anyway.
            Ok(()) | Err(Stop::Malformed(_)) => {}
            Err(refused) => return Err(refused),
        }
    }
    if tally.reads_debug() {
        dwarf::scan(&debug, tally)?;
    }
    broken.map_or(Ok(()), |at| Err(Stop::Malformed(at)))
}

/// The section of function bodies.
const CODE: u8 = 10;

fn scan_section(
    id: u8,
    section: &mut Reader,
    tally: &mut Tally,
    module: &mut Module,
    tables: &mut Tables,
) -> Read<()> {
    match id {
        1 => all_types(section, tally, module),
        2 => imports(section, tally, module),
        3 => functions(section, tally, module),
        4 => own_tables(section, tally, module, tables),
        5 => all(Limit::Memories, section, tally),
        6 => globals(section, tally, module),
        7 => exports(section, tally),
        9 => segments::elements(section, tally, module, tables),
        CODE => code::bodies(section, tally, module),
        11 => segments::data(section, tally, module),
        13 => tags(section, tally, module),
        _ => Ok(()),
    }
}

/// A section of which only the number of items counts.
fn all(limit: Limit, section: &mut Reader, tally: &mut Tally) -> Read<()> {
    let at = section.at();
    Ok(tally.add(limit, section.u32()?.into(), at)?)
}

fn all_types(section: &mut Reader, tally: &mut Tally, module: &mut Module) -> Read<()> {
    for _ in 0..section.u32()? {
        types::group(section, tally, |ty| module.add_type(ty))?;
    }
    Ok(())
}

fn imports(section: &mut Reader, tally: &mut Tally, module: &mut Module) -> Read<()> {
    for _ in 0..section.u32()? {
        let mut import = section.clone();
        types::import(section, tally)?;
        name(&mut import, tally)?;
        name(&mut import, tally)?;
        match import.byte()? {
            0x00 | 0x20 => {
                module.add_function(import.u32()?);
                module.imported = module.imported.saturating_add(1);
            }
            0x01 => module.tables = module.tables.saturating_add(1),
            0x03 => module.values.push(types::is_collected(import.peek()?)),
            0x04 => tag(&mut import, module)?,
            _ => {}
        }
    }
    Ok(())
}

fn functions(section: &mut Reader, tally: &mut Tally, module: &mut Module) -> Read<()> {
    for _ in 0..section.u32()? {
        tally.add(Limit::Functions, 1, section.at())?;
        module.add_function(section.u32()?);
    }
    Ok(())
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
        let fill = match filled {
            true => Some(expression(section, tally, module)?),
            false => None,
        };
        let by_function = fill == Some(Value::Function);
        if by_function {
            tables.reach(tally, module.tables, least, at)?;
        }
        let known = fill.is_none() || (by_function && least <= LARGEST_TABLE);
        tables.define(module.tables, least, known);
        module.tables = module.tables.saturating_add(1);
    }
    Ok(())
}

fn globals(section: &mut Reader, tally: &mut Tally, module: &mut Module) -> Read<()> {
    for _ in 0..section.u32()? {
        tally.add(Limit::Globals, 1, section.at())?;
        module.globals = module.globals.saturating_add(1);
        module.values.push(types::is_collected(section.peek()?));
        types::value(section)?;
        section.byte()?;
        expression(section, tally, module)?;
    }
    Ok(())
}

fn tags(section: &mut Reader, tally: &mut Tally, module: &mut Module) -> Read<()> {
    for _ in 0..section.u32()? {
        tally.add(Limit::Tags, 1, section.at())?;
        tag(section, module)?;
    }
    Ok(())
}

fn tag(reader: &mut Reader, module: &mut Module) -> Read<()> {
    reader.byte()?;
    let ty = reader.u32()?;
    let parameters = entry(&module.types, ty);
    module.tags.push(parameters);
    Ok(())
}

fn exports(section: &mut Reader, tally: &mut Tally) -> Read<()> {
    for _ in 0..section.u32()? {
        tally.add(Limit::Exports, 1, section.at())?;
        external(section, tally)?;
        section.byte()?;
        section.u32()?;
    }
    Ok(())
}
