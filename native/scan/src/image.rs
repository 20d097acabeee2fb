//! The initial contents of tables and memories. At compile time wasmtime writes them out in full, including the gaps
//! between segments: a few bytes can request gigabytes.

use crate::Limit;
use crate::reader::Read;
use crate::tally::Tally;

/// The tables and memories of one module. wasmparser allows 100 of each.
const MOST: usize = 128;

/// Tables beyond this size are filled at run time (`try_func_table_init` in wasmtime-environ).
pub const LARGEST_TABLE: u64 = 1024 * 1024;

/// A table of one module.
#[derive(Clone, Copy, Default)]
struct Table {
    /// Its minimum size; `None` if it is filled at run time.
    least: u64,
    /// The end of its elements.
    reached: u64,
}

/// The end of the elements of each table.
pub struct Tables {
    tables: [Table; MOST],
    /// Whether a segment is written at run time: then all later ones are too.
    running: bool,
}

impl Tables {
    /// An empty image.
    pub fn new() -> Self {
        Tables {
            tables: [Table::default(); MOST],
            running: false,
        }
    }

    /// A table defined in the module. `known` says whether its initial value is known.
    pub fn define(&mut self, table: u32, least: u64, known: bool) {
        if let (Some(slot), true) = (self.slot(table), known) {
            slot.least = least;
        }
    }

    /// This many elements of a table are written out.
    pub fn reach(&mut self, tally: &mut Tally, table: u32, end: u64, at: usize) -> Read<()> {
        let Some(slot) = self.slot(table).filter(|_| end <= LARGEST_TABLE) else {
            return Ok(());
        };
        let more = end.saturating_sub(slot.reached);
        slot.reached = end.max(slot.reached);
        Ok(tally.add(Limit::TableElements, more, at)?)
    }

    /// Whether an active segment with this end is written out at compile time, not by code at run time; `None` for
    /// `end` if it is unknown. wasmtime takes segments in order, up to the first that it cannot write out.
    pub fn is_image(&mut self, table: u32, end: Option<u64>) -> bool {
        let least = self.slot(table).map_or(0, |slot| slot.least);
        self.running |= end.is_none_or(|end| end > least.min(LARGEST_TABLE));
        !self.running
    }

    fn slot(&mut self, table: u32) -> Option<&mut Table> {
        let table = usize::try_from(table).ok()?;
        self.tables.get_mut(table)
    }
}

/// A memory whose gaps exceed both this and its data is filled at run time (`try_static_init`, and
/// `memory_guaranteed_dense_image_size`, whose default this is).
const LARGEST_GAP: u64 = 16 * 1024 * 1024;

#[derive(Clone, Copy)]
struct Extent {
    first: u64,
    last: u64,
    data: u64,
}

/// The range of each memory's data.
pub struct Memories {
    extents: [Extent; MOST],
    segments: u64,
    /// Whether an offset is only known at run time: then none is written out.
    unknown: bool,
}

impl Memories {
    /// An empty image.
    pub fn new() -> Self {
        let nothing = Extent {
            first: u64::MAX,
            last: 0,
            data: 0,
        };
        Memories {
            extents: [nothing; MOST],
            segments: 0,
            unknown: false,
        }
    }

    /// A data segment; the offset may be unknown.
    pub fn add(&mut self, memory: u32, start: Option<u64>, size: u64) {
        let slot = usize::try_from(memory)
            .ok()
            .and_then(|memory| self.extents.get_mut(memory));
        match (slot, start) {
            (Some(extent), Some(start)) if size > 0 => {
                extent.first = extent.first.min(start);
                extent.last = extent.last.max(start.saturating_add(size));
                extent.data = extent.data.saturating_add(size);
            }
            (Some(_), Some(_)) => {}
            _ => self.unknown = true,
        }
    }

    /// Called after the last segment, with its end.
    pub fn finish(&self, tally: &mut Tally, at: usize) -> Read<()> {
        let (mut images, mut gaps): (u64, u64) = (0, 0);
        for extent in &self.extents {
            let size = extent.last.saturating_sub(extent.first);
            if size >= LARGEST_GAP && size >= extent.data.saturating_mul(2) {
                return self.code(tally, at);
            }
            gaps = gaps.saturating_add(size.saturating_sub(extent.data));
            images = images.saturating_add(u64::from(extent.data > 0));
        }
        if self.unknown {
            return self.code(tally, at);
        }
        tally.add(Limit::MemoryImages, images, at)?;
        Ok(tally.add(Limit::MemoryGaps, gaps, at)?)
    }

    /// Code fills the memories at run time, with some instructions for each segment.
    fn code(&self, tally: &mut Tally, at: usize) -> Read<()> {
        Ok(tally.add(Limit::Constants, self.segments, at)?)
    }
}
