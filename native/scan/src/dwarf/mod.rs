//! Debug information (DWARF 2 to 5), which wasmtime reads for backtraces with files and lines, and for native debuggers.
//!
//! Its parser takes what it finds: tables and lists may be used any number of times, a name is copied for each use, and
//! it recurses as deep as inlined functions nest. So this walks through the same entries and counts what they cost.
//! Where it cannot follow, the module is refused; where the parser would stop, it stops, too.

mod abbreviations;
mod entries;
mod forms;
mod lines;
mod lists;

use crate::Limit;
use crate::reader::{Read, Reader, Stop};
use crate::tally::Tally;
use abbreviations::Tables;
use forms::Encoding;

/// Sections by name; the last of each counts.
#[derive(Default)]
pub struct Sections<'a> {
    info: Option<Reader<'a>>,
    abbrev: Option<Reader<'a>>,
    line: Option<Reader<'a>>,
    text: Option<Reader<'a>>,
    line_text: Option<Reader<'a>>,
    text_offsets: Option<Reader<'a>>,
    ranges: Option<Reader<'a>>,
    range_lists: Option<Reader<'a>>,
    locations: Option<Reader<'a>>,
    location_lists: Option<Reader<'a>>,
    /// Bytes of all of them, and of those that are read from front to back once.
    size: u64,
}

impl<'a> Sections<'a> {
    /// Remembers a custom section if it is one of them; the reader is at its content.
    pub fn add(&mut self, name: &[u8], content: &Reader<'a>) {
        let slot = match name {
            b".debug_info" => &mut self.info,
            b".debug_abbrev" => &mut self.abbrev,
            b".debug_line" => &mut self.line,
            b".debug_str" => &mut self.text,
            b".debug_line_str" => &mut self.line_text,
            b".debug_str_offsets" => &mut self.text_offsets,
            b".debug_ranges" => &mut self.ranges,
            b".debug_rnglists" => &mut self.range_lists,
            b".debug_loc" => &mut self.locations,
            b".debug_loclists" => &mut self.location_lists,
            b".debug_aranges" | b".debug_addr" => &mut None,
            _ => return,
        };
        *slot = Some(content.clone());
        self.size = self.size.saturating_add(content.left() as u64);
    }

    /// A reader at this offset of a section; one that is empty if there is no such place.
    fn at(section: &Option<Reader<'a>>, offset: u64) -> Reader<'a> {
        let mut reader = section.clone().unwrap_or(Reader::new(&[]));
        match reader.skip(offset) {
            Ok(()) => reader,
            Err(_) => Reader::new(&[]),
        }
    }
}

/// What a unit costs besides its content.
const UNIT: u64 = 1_000;

/// A unit of `.debug_info`.
#[derive(Clone)]
struct Unit<'a> {
    /// From its header on.
    whole: Reader<'a>,
    /// Its entries.
    entries: Reader<'a>,
    /// Where it begins and ends in the section.
    start: u64,
    end: u64,
    encoding: Encoding,
    abbreviations: u64,
}

/// Counts what the debug information of a module costs.
pub fn scan(sections: &Sections, tally: &mut Tally) -> Read<()> {
    let Some(info) = &sections.info else {
        return Ok(());
    };
    tally.add(Limit::DebugWork, sections.size, info.at())?;
    let units = units(info, tally)?;
    let mut tables = Tables::new(sections);
    for unit in &units {
        let mut walk = entries::Walk {
            sections,
            units: &units,
            tables: &mut tables,
            tally,
        };
        match walk.unit(unit) {
            // The parser gives up here as well.
            Ok(()) | Err(Stop::Malformed(_)) => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(())
}

fn units<'a>(info: &Reader<'a>, tally: &mut Tally) -> Read<Vec<Unit<'a>>> {
    let (mut reader, first) = (info.clone(), info.at());
    let mut units = Vec::new();
    while !reader.is_empty() {
        tally.add(Limit::DebugWork, UNIT, reader.at())?;
        match unit(&mut reader, first) {
            Ok(Some(unit)) => units.push(unit),
            Ok(None) => {}
            Err(Stop::Malformed(_)) => break,
            Err(refused) => return Err(refused),
        }
    }
    Ok(units)
}

/// The next unit; `None` for one of types, whose entries are not read.
fn unit<'a>(reader: &mut Reader<'a>, first: usize) -> Read<Option<Unit<'a>>> {
    let whole = reader.clone();
    let start = reader.at();
    let (length, wide) = forms::length(reader)?;
    let mut body = reader.take(length)?;
    let version = body.fixed(2)?;
    let mut encoding = Encoding {
        wide,
        version,
        address: 4,
    };
    let mut is_type = false;
    let abbreviations = if version == 5 {
        let kind = body.byte()?;
        encoding.address = body.byte()?;
        let abbreviations = body.fixed(encoding.offset())?;
        match kind {
            0x01 | 0x03 => {}
            0x04 | 0x05 => body.skip(8)?,
            0x02 | 0x06 => is_type = true,
            _ => return body.malformed(),
        }
        abbreviations
    } else if (2..=4).contains(&version) {
        let abbreviations = body.fixed(encoding.offset())?;
        encoding.address = body.byte()?;
        abbreviations
    } else {
        return body.malformed();
    };
    if is_type {
        return Ok(None);
    }
    let place = |at: usize| at.saturating_sub(first) as u64;
    Ok(Some(Unit {
        whole,
        entries: body,
        start: place(start),
        end: place(reader.at()),
        encoding,
        abbreviations,
    }))
}
