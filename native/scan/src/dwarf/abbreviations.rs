//! Tables of abbreviations: the attributes of each kind of entry.

use super::Sections;
use super::forms::uleb;
use crate::Limit;
use crate::reader::{Read, Reader};
use crate::tally::Tally;
use std::collections::HashMap;
use std::rc::Rc;

/// A kind of entry.
pub struct Abbreviation {
    /// The tag of its entries.
    pub tag: u64,
    /// Whether entries follow that are in it.
    pub has_children: bool,
    /// The names and forms of its attributes.
    pub attributes: Vec<(u64, u64)>,
}

/// The abbreviations of a unit, by code.
pub struct Table {
    by_code: HashMap<u64, Abbreviation>,
    /// What parsing it costs.
    cost: u64,
}

impl Table {
    /// The abbreviation with this code.
    pub fn get(&self, code: u64) -> Option<&Abbreviation> {
        self.by_code.get(&code)
    }
}

/// The tables read so far, by offset.
pub struct Tables<'s, 'a> {
    sections: &'s Sections<'a>,
    tables: HashMap<u64, Rc<Table>>,
}

/// What an abbreviation and an attribute cost to parse and to keep.
const EACH: u64 = 100;
const ATTRIBUTE: u64 = 16;

impl<'s, 'a> Tables<'s, 'a> {
    /// None so far.
    pub fn new(sections: &'s Sections<'a>) -> Self {
        Tables {
            sections,
            tables: HashMap::new(),
        }
    }

    /// The table at this offset. It is counted each time, since the parser keeps one for each unit.
    pub fn of_unit(&mut self, offset: u64, tally: &mut Tally) -> Read<Rc<Table>> {
        let known = self.tables.get(&offset).cloned();
        if let Some(table) = known {
            let at = Sections::at(&self.sections.abbrev, offset).at();
            tally.add(Limit::DebugWork, table.cost, at)?;
            return Ok(table);
        }
        let table = Rc::new(parse(Sections::at(&self.sections.abbrev, offset), tally)?);
        self.tables.insert(offset, table.clone());
        Ok(table)
    }

    /// The table of a unit that was visited, if any.
    pub fn known(&self, offset: u64) -> Option<Rc<Table>> {
        self.tables.get(&offset).cloned()
    }
}

fn parse(mut reader: Reader, tally: &mut Tally) -> Read<Table> {
    let mut table = Table {
        by_code: HashMap::new(),
        cost: 0,
    };
    loop {
        let at = reader.at();
        let code = uleb(&mut reader)?;
        if code == 0 {
            return Ok(table);
        }
        let tag = uleb(&mut reader)?;
        let has_children = reader.byte()? != 0;
        let mut attributes = Vec::new();
        loop {
            tally.add(Limit::DebugWork, ATTRIBUTE, reader.at())?;
            let (name, form) = (uleb(&mut reader)?, uleb(&mut reader)?);
            // DW_FORM_implicit_const
            if form == 0x21 {
                uleb(&mut reader)?;
            }
            if (name, form) == (0, 0) {
                break;
            }
            attributes.push((name, form));
        }
        let many = (attributes.len() as u64).saturating_mul(ATTRIBUTE);
        table.cost = table.cost.saturating_add(many).saturating_add(EACH);
        tally.add(Limit::DebugWork, EACH, at)?;
        let abbreviation = Abbreviation {
            tag,
            has_children,
            attributes,
        };
        // A second one with the same code is an error for the parser.
        table.by_code.entry(code).or_insert(abbreviation);
    }
}
