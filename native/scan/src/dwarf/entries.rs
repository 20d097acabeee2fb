//! Entries of a unit: functions, the functions inlined in them, types, variables.

use super::abbreviations::{Abbreviation, Table, Tables};
use super::forms::{Encoding, Value, text, uleb, unknown, value};
use super::lists::{self, Kind, Place};
use super::{Sections, Unit, lines};
use crate::Limit;
use crate::reader::{Read, Reader};
use crate::tally::Tally;
use std::rc::Rc;

// Tags and names of attributes.
const SUBPROGRAM: u64 = 0x2e;
const INLINED: u64 = 0x1d;
const LOCATION: u64 = 0x02;
const NAME: u64 = 0x03;
const STMT_LIST: u64 = 0x10;
const COMP_DIR: u64 = 0x1b;
const ABSTRACT_ORIGIN: u64 = 0x31;
const FRAME_BASE: u64 = 0x40;
const SPECIFICATION: u64 = 0x47;
const RANGES: u64 = 0x55;
const LINKAGE_NAME: u64 = 0x6e;
const STR_OFFSETS_BASE: u64 = 0x72;
const RNGLISTS_BASE: u64 = 0x74;
const LOCLISTS_BASE: u64 = 0x8c;
const MIPS_LINKAGE_NAME: u64 = 0x2007;

/// What an entry costs to keep, if it is a function.
const FUNCTION: u64 = 100;

/// What an attribute costs to read: time, and it may take no bytes at all.
const ATTRIBUTE: u64 = 8;

/// Entries that are followed to find a function's name.
const FOLLOWED: usize = 16;

/// The part of a length that reading the text takes: it is searched for its end many bytes at a time.
const SEARCH: u64 = 16;

/// The bases of a unit.
#[derive(Clone, Copy, Default)]
pub struct Bases {
    text_offsets: u64,
    ranges: u64,
    locations: u64,
}

/// Walks through the units of a module.
pub struct Walk<'w, 's, 'a, 't> {
    /// The sections.
    pub sections: &'s Sections<'a>,
    /// All units, in order.
    pub units: &'w [Unit<'a>],
    /// The tables of abbreviations.
    pub tables: &'w mut Tables<'s, 'a>,
    /// What it all costs.
    pub tally: &'w mut Tally<'t>,
}

impl<'a> Walk<'_, '_, 'a, '_> {
    /// Counts a unit.
    pub fn unit(&mut self, unit: &Unit<'a>) -> Read<()> {
        let table = self.tables.of_unit(unit.abbreviations, self.tally)?;
        let mut reader = unit.entries.clone();
        let bases = self.root(unit, &table, &mut reader)?;
        let mut depth: u64 = 1;
        while !reader.is_empty() {
            let at = reader.at();
            let code = uleb(&mut reader)?;
            if code == 0 {
                depth = depth.saturating_sub(1);
                continue;
            }
            let Some(abbreviation) = table.get(code) else {
                return reader.malformed();
            };
            self.tally.check(Limit::DebugNesting, depth, at)?;
            self.entry(unit, abbreviation, &mut reader, bases)?;
            if abbreviation.has_children {
                depth = depth.saturating_add(1);
            }
        }
        Ok(())
    }

    /// The first entry. Its attributes may refer to bases that come later.
    fn root(&mut self, unit: &Unit<'a>, table: &Table, reader: &mut Reader<'a>) -> Read<Bases> {
        let at = reader.at();
        let code = uleb(reader)?;
        let Some(abbreviation) = table.get(code) else {
            return reader.malformed();
        };
        let mut bases = Bases::default();
        let mut again = reader.clone();
        for (name, form) in &abbreviation.attributes {
            let value = value(&mut again, *form, unit.encoding)?;
            let slot = match *name {
                STR_OFFSETS_BASE => &mut bases.text_offsets,
                RNGLISTS_BASE => &mut bases.ranges,
                LOCLISTS_BASE => &mut bases.locations,
                _ => continue,
            };
            if let Value::Number(base) = value {
                *slot = base;
            }
        }
        let (mut directory, mut program) = (0, None);
        let mut again = reader.clone();
        for (name, form) in &abbreviation.attributes {
            let value = value(&mut again, *form, unit.encoding)?;
            match (*name, value) {
                (COMP_DIR, value) => {
                    let bases = Some((unit.encoding, bases));
                    directory = length(self.sections, &value, bases, self.tally)?;
                }
                (STMT_LIST, Value::Number(offset)) => program = Some(offset),
                _ => {}
            }
        }
        self.entry(unit, abbreviation, reader, bases)?;
        if let Some(offset) = program {
            self.tally.check(Limit::NameSize, directory, at)?;
            let context = (directory, unit.encoding.address);
            match lines::count(self.sections, offset, context, self.tally) {
                Err(crate::reader::Stop::Malformed(_)) | Ok(()) => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(bases)
    }

    fn entry(
        &mut self,
        unit: &Unit<'a>,
        abbreviation: &Abbreviation,
        reader: &mut Reader<'a>,
        bases: Bases,
    ) -> Read<()> {
        let at = reader.at();
        let attributes = cost(abbreviation);
        let is_function = matches!(abbreviation.tag, SUBPROGRAM | INLINED);
        let kept = if is_function { FUNCTION } else { 1 };
        self.tally
            .add(Limit::DebugWork, kept.saturating_add(attributes), at)?;
        for (name, form) in &abbreviation.attributes {
            let value = value(reader, *form, unit.encoding)?;
            match *name {
                NAME | LINKAGE_NAME | MIPS_LINKAGE_NAME => {
                    let bases = Some((unit.encoding, bases));
                    let length = length(self.sections, &value, bases, self.tally)?;
                    self.tally.check(Limit::NameSize, length, at)?;
                }
                ABSTRACT_ORIGIN | SPECIFICATION if is_function => self.follow(unit, value)?,
                RANGES => self.list(unit, Kind::Ranges, bases.ranges, &value)?,
                LOCATION | FRAME_BASE => {
                    self.list(unit, Kind::Locations, bases.locations, &value)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn list(&mut self, unit: &Unit, kind: Kind, base: u64, value: &Value) -> Read<()> {
        let place = match value {
            Value::Number(offset) => Place::Offset(*offset),
            Value::Index(index) => Place::Index {
                base,
                index: *index,
            },
            _ => return Ok(()),
        };
        match lists::count(self.sections, kind, place, unit.encoding, self.tally) {
            Err(crate::reader::Stop::Malformed(_)) => Ok(()),
            other => other,
        }
    }

    /// Counts the entries in which the name of a function is looked for.
    fn follow(&mut self, unit: &Unit<'a>, first: Value<'a>) -> Read<()> {
        let (mut unit, mut next) = (unit.clone(), first);
        for _ in 0..FOLLOWED {
            let Some((owner, offset)) = self.target(&unit, &next) else {
                return Ok(());
            };
            let Some((table, mut reader)) = self.read_at(&owner, offset) else {
                return Ok(());
            };
            unit = owner;
            match self.origin(&unit, &table, &mut reader) {
                Ok(Some(value)) => next = value,
                Ok(None) | Err(crate::reader::Stop::Malformed(_)) => return Ok(()),
                Err(refused) => return Err(refused),
            }
        }
        Ok(())
    }

    /// The unit of an entry, and its offset there.
    fn target(&self, unit: &Unit<'a>, value: &Value) -> Option<(Unit<'a>, u64)> {
        match value {
            Value::Entry(offset) => Some((unit.clone(), *offset)),
            Value::EntryAt(offset) => {
                let after = self.units.partition_point(|unit| unit.start <= *offset);
                let owner = self.units.get(after.checked_sub(1)?)?;
                let inside = offset.checked_sub(owner.start)?;
                (*offset < owner.end).then(|| (owner.clone(), inside))
            }
            _ => None,
        }
    }

    fn read_at(&mut self, unit: &Unit<'a>, offset: u64) -> Option<(Rc<Table>, Reader<'a>)> {
        let table = match self.tables.known(unit.abbreviations) {
            Some(table) => table,
            None => self.tables.of_unit(unit.abbreviations, self.tally).ok()?,
        };
        let mut reader = unit.whole.clone();
        reader.skip(offset).ok()?;
        Some((table, reader))
    }

    /// Where a name is looked for next, if this entry has none.
    fn origin(
        &mut self,
        unit: &Unit<'a>,
        table: &Table,
        reader: &mut Reader<'a>,
    ) -> Read<Option<Value<'a>>> {
        let at = reader.at();
        let code = uleb(reader)?;
        let Some(abbreviation) = table.get(code) else {
            return Ok(None);
        };
        self.tally.add(Limit::DebugWork, cost(abbreviation), at)?;
        let (mut next, mut named) = (None, false);
        for (name, form) in &abbreviation.attributes {
            let value = value(reader, *form, unit.encoding)?;
            match *name {
                NAME | LINKAGE_NAME | MIPS_LINKAGE_NAME => named = true,
                ABSTRACT_ORIGIN | SPECIFICATION => next = Some(value),
                _ => {}
            }
        }
        Ok(next.filter(|_| !named))
    }
}

/// What reading the attributes of an entry costs.
fn cost(abbreviation: &Abbreviation) -> u64 {
    (abbreviation.attributes.len() as u64).saturating_mul(ATTRIBUTE)
}

/// The length of a text, with what reading it costs.
pub fn length(
    sections: &Sections,
    value: &Value,
    bases: Option<(Encoding, Bases)>,
    tally: &mut Tally,
) -> Read<u64> {
    let mut reader = match value {
        Value::Text(length) => return Ok(*length),
        Value::TextAt(offset) => Sections::at(&sections.text, *offset),
        Value::LineTextAt(offset) => Sections::at(&sections.line_text, *offset),
        Value::TextIndex(index) => {
            let Some((encoding, bases)) = bases else {
                return Ok(0);
            };
            let header = if encoding.wide { 16 } else { 8 };
            let base = match bases.text_offsets {
                0 => header,
                base => base,
            };
            let place = base.saturating_add(index.saturating_mul(encoding.offset()));
            let offset = Sections::at(&sections.text_offsets, place).fixed(encoding.offset());
            match offset {
                Ok(offset) => Sections::at(&sections.text, offset),
                Err(_) => return Ok(0),
            }
        }
        Value::Block(bytes) => return Ok(bytes.left() as u64),
        Value::Other => return unknown(&Reader::new(&[])),
        _ => return Ok(0),
    };
    let at = reader.at();
    match text(&mut reader) {
        Ok(length) => {
            tally.add(Limit::DebugWork, length / SEARCH, at)?;
            Ok(length)
        }
        // The parser searches up to the end.
        Err(_) => {
            tally.add(Limit::DebugWork, reader.left() as u64 / SEARCH, at)?;
            Ok(0)
        }
    }
}
