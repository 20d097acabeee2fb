//! The first check of untrusted bytes, before a parser or a compiler reads them.
//!
//! wasmparser, wasmtime and the text parsers decide correctly what is valid, but a few hundred bytes can cost them the
//! stack or gigabytes of memory. [`binary`], [`wat`] and [`wit`] measure beforehand what they would have to hold:
//! nesting, counts, and tables and memories with their contents. They take time linear in the input, a few bytes of
//! memory for each type and function, and never recurse.
//!
//! Malformed modules pass: the parser reports their errors best, and cannot get further into them than the scan did.
//! Malformed components are rejected, so that nothing can be hidden from the scan that the parser would see.

#![warn(missing_docs)]

mod blocks;
mod code;
mod component;
mod constants;
mod dwarf;
mod growth;
mod image;
mod instructions;
mod limits;
mod module;
mod names;
mod reader;
mod refusal;
mod segments;
mod tally;
mod text;
mod types;
mod wat;
mod wit;

pub use limits::{Limit, Limits};
pub use refusal::Refusal;
pub use wit::without_empty_comments;

use reader::{Reader, Stop};
use tally::Tally;

/// Scans a module or a component in the binary format.
pub fn binary(bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let mut tally = Tally::new(limits);
    tally.check(Limit::Size, length(bytes), 0)?;
    let mut reader = Reader::new(bytes);
    let (scanned, is_component) = match bytes.get(4..8) {
        Some(_) if is_module(bytes) => (module::scan(&mut reader, &mut tally), false),
        Some(_) => (component::scan(&mut reader, &mut tally), true),
        None => return Ok(()),
    };
    match scanned {
        Err(Stop::Refused(refusal)) => Err(refusal),
        // Module parsers do not recurse. Component parsers do.
        Err(Stop::Malformed(offset)) if is_component => Err(Refusal::Malformed { offset }),
        Ok(()) | Err(Stop::Malformed(_)) => Ok(()),
    }
}

/// Whether these bytes are a core module rather than a component, by the fields for the version.
pub fn is_module(bytes: &[u8]) -> bool {
    matches!(bytes.get(4..8), Some([_, _, 0, 0]))
}

/// Scans a module or a component in the text format. Its parser has a recursion limit of its own.
pub fn wat(text: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let tally = Tally::new(limits);
    tally.check(Limit::TextSize, length(text), 0)?;
    wat::scan(text, &tally)
}

/// Scans WIT.
pub fn wit(text: &[u8], limits: &Limits) -> Result<(), Refusal> {
    Wit::new(limits).add(text)
}

/// A scan of several files of WIT that are parsed together.
pub struct Wit<'a> {
    tally: Tally<'a>,
    counts: wit::Counts,
}

impl<'a> Wit<'a> {
    /// No file so far.
    pub fn new(limits: &'a Limits) -> Self {
        Wit {
            tally: Tally::new(limits),
            counts: wit::Counts::default(),
        }
    }

    /// Scans one more.
    pub fn add(&mut self, text: &[u8]) -> Result<(), Refusal> {
        self.tally.check(Limit::TextSize, length(text), 0)?;
        wit::scan(text, &self.tally, &mut self.counts)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
