//! Line programs: which file and line each instruction comes from.

use super::forms::{self, Encoding, Value, text, uleb};
use super::{Sections, entries};
use crate::Limit;
use crate::reader::{Read, Reader};
use crate::tally::Tally;

/// What a file costs besides its path, and what a byte of the program costs: it makes at most one row.
const FILE: u64 = 150;
const ROW: u64 = 24;

/// Counts the line program at this offset. `directory` is the length of the unit's own.
pub fn count(
    sections: &Sections,
    offset: u64,
    (directory, address): (u64, u8),
    tally: &mut Tally,
) -> Read<()> {
    let mut reader = Sections::at(&sections.line, offset);
    let at = reader.at();
    let (length, wide) = forms::length(&mut reader)?;
    let mut body = reader.take(length)?;
    let version = body.fixed(2)?;
    let mut encoding = Encoding {
        wide,
        version,
        address,
    };
    if version >= 5 {
        encoding.address = body.byte()?;
        body.skip(1)?;
    }
    let size = body.fixed(encoding.offset())?;
    let mut header = body.take(size)?;
    let rows = (body.left() as u64).saturating_mul(ROW);
    tally.add(Limit::DebugWork, size.saturating_add(rows), at)?;
    // minimum_instruction_length, maximum_operations_per_instruction, default_is_stmt, line_base, line_range
    header.skip(if version >= 4 { 5 } else { 4 })?;
    let opcodes = header.byte()?;
    header.skip(u64::from(opcodes).saturating_sub(1))?;
    let mut paths = Paths {
        sections,
        encoding,
        directory,
        directories: vec![directory],
    };
    match version {
        2..=4 => paths.before_5(&mut header, tally),
        5 => paths.of_5(&mut header, tally),
        _ => Ok(()),
    }
}

/// The paths of the files: each is written out.
struct Paths<'s, 'a> {
    sections: &'s Sections<'a>,
    encoding: Encoding,
    directory: u64,
    /// The length of each directory.
    directories: Vec<u64>,
}

impl<'a> Paths<'_, 'a> {
    fn before_5(&mut self, header: &mut Reader<'a>, tally: &mut Tally) -> Read<()> {
        loop {
            let at = header.at();
            match text(header)? {
                0 => break,
                length => self.add_directory(length, at, tally)?,
            }
        }
        loop {
            let at = header.at();
            let name = text(header)?;
            if name == 0 {
                return Ok(());
            }
            let directory = uleb(header)?;
            uleb(header)?;
            uleb(header)?;
            self.add_file(name, directory, at, tally)?;
        }
    }

    fn of_5(&mut self, header: &mut Reader<'a>, tally: &mut Tally) -> Read<()> {
        self.directories.clear();
        let formats = formats(header)?;
        for _ in 0..uleb(header)? {
            let at = header.at();
            let (path, _) = self.entry(header, &formats, tally)?;
            self.add_directory(path, at, tally)?;
        }
        let formats = self::formats(header)?;
        for _ in 0..uleb(header)? {
            let at = header.at();
            let (path, directory) = self.entry(header, &formats, tally)?;
            self.add_file(path, directory, at, tally)?;
        }
        Ok(())
    }

    /// The length of a path, and the index of its directory.
    fn entry(
        &self,
        header: &mut Reader<'a>,
        formats: &[(u64, u64)],
        tally: &mut Tally,
    ) -> Read<(u64, u64)> {
        let (mut path, mut directory) = (0, 0);
        let before = header.at();
        for (content, form) in formats {
            let value = forms::value(header, *form, self.encoding)?;
            match (content, value) {
                // DW_LNCT_path
                (1, value) => path = entries::length(self.sections, &value, None, tally)?,
                // DW_LNCT_directory_index
                (2, Value::Number(index)) => directory = index,
                _ => {}
            }
        }
        // There could be any number of entries without bytes.
        match header.at() == before {
            true => forms::unknown(header),
            false => Ok((path, directory)),
        }
    }

    fn add_directory(&mut self, length: u64, at: usize, tally: &mut Tally) -> Read<()> {
        self.directories.push(length);
        Ok(tally.add(Limit::DebugWork, FILE, at)?)
    }

    fn add_file(&self, name: u64, directory: u64, at: usize, tally: &mut Tally) -> Read<()> {
        let index = usize::try_from(directory).ok();
        let directory = index.and_then(|index| self.directories.get(index));
        let path = [self.directory, directory.copied().unwrap_or(0), name];
        let path = path.into_iter().fold(FILE, u64::saturating_add);
        tally.check(Limit::NameSize, path, at)?;
        Ok(tally.add(Limit::DebugWork, path, at)?)
    }
}

/// The contents and forms of entries.
fn formats(header: &mut Reader) -> Read<Vec<(u64, u64)>> {
    let count = header.byte()?;
    (0..count)
        .map(|_| Ok((uleb(header)?, uleb(header)?)))
        .collect()
}
