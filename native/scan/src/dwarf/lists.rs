//! Lists of address ranges and of locations.

use super::Sections;
use super::forms::{Encoding, uleb};
use crate::Limit;
use crate::reader::{Read, Reader};
use crate::tally::Tally;

/// What an entry of a list costs to parse and to keep.
const ENTRY: u64 = 40;

/// Where a list is.
#[derive(Clone, Copy)]
pub enum Place {
    /// An offset in its section.
    Offset(u64),
    /// An index in the table at the base of the unit.
    Index {
        /// The base, 0 if the unit has none.
        base: u64,
        /// The index.
        index: u64,
    },
}

/// Which lists.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Ranges,
    Locations,
}

/// Counts the entries of a list.
pub fn count(
    sections: &Sections,
    kind: Kind,
    place: Place,
    encoding: Encoding,
    tally: &mut Tally,
) -> Read<()> {
    let section = match (kind, encoding.version >= 5) {
        (Kind::Ranges, false) => &sections.ranges,
        (Kind::Ranges, true) => &sections.range_lists,
        (Kind::Locations, false) => &sections.locations,
        (Kind::Locations, true) => &sections.location_lists,
    };
    let mut list = match place {
        Place::Offset(offset) => Sections::at(section, offset),
        Place::Index { base, index } => {
            // Without a base, after the header of the first table.
            let header = if encoding.wide { 20 } else { 12 };
            let base = if base == 0 { header } else { base };
            let entry = base.saturating_add(index.saturating_mul(encoding.offset()));
            let offset = Sections::at(section, entry).fixed(encoding.offset())?;
            Sections::at(section, base.saturating_add(offset))
        }
    };
    loop {
        tally.add(Limit::DebugWork, ENTRY, list.at())?;
        let ended = match encoding.version >= 5 {
            true => item(&mut list, kind, encoding)?,
            false => pair(&mut list, kind, encoding)?,
        };
        if ended {
            return Ok(());
        }
    }
}

/// An entry before DWARF 5; whether it is the last.
fn pair(list: &mut Reader, kind: Kind, encoding: Encoding) -> Read<bool> {
    let address = encoding.address.into();
    let (begin, end) = (list.fixed(address)?, list.fixed(address)?);
    if (begin, end) == (0, 0) {
        return Ok(true);
    }
    let bits = u32::from(encoding.address).saturating_mul(8);
    let most = u64::MAX.checked_shl(bits).map_or(u64::MAX, |high| !high);
    if kind == Kind::Locations && begin != most {
        let size = list.fixed(2)?;
        list.skip(size)?;
    }
    Ok(false)
}

/// An entry of DWARF 5; whether it is the last.
fn item(list: &mut Reader, kind: Kind, encoding: Encoding) -> Read<bool> {
    let address = encoding.address.into();
    // Both kinds number their entries alike, but that of locations has one more in the middle.
    let code = match (list.byte()?, kind) {
        (0, _) => return Ok(true),
        (5, Kind::Locations) => Item::Default,
        (code @ 6.., Kind::Locations) => Item::of(code.saturating_sub(1)),
        (code, _) => Item::of(code),
    };
    let has_location = match code {
        Item::Base => {
            uleb(list)?;
            false
        }
        Item::Indices => {
            uleb(list)?;
            uleb(list)?;
            true
        }
        Item::Default => true,
        Item::BaseAddress => {
            list.skip(address)?;
            false
        }
        Item::Addresses => {
            list.skip(address)?;
            list.skip(address)?;
            true
        }
        Item::Length => {
            list.skip(address)?;
            uleb(list)?;
            true
        }
        Item::Unknown => return list.malformed(),
    };
    if kind == Kind::Locations && has_location {
        let size = uleb(list)?;
        list.skip(size)?;
    }
    Ok(false)
}

/// An entry of a list of ranges.
enum Item {
    Base,
    Indices,
    Default,
    BaseAddress,
    Addresses,
    Length,
    Unknown,
}

impl Item {
    fn of(code: u8) -> Self {
        match code {
            1 => Item::Base,
            2..=4 => Item::Indices,
            5 => Item::BaseAddress,
            6 => Item::Addresses,
            7 => Item::Length,
            _ => Item::Unknown,
        }
    }
}
