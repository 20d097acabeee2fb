//! A first look at bytes from anybody, before a parser or a compiler sees them.
//!
//! wasmparser, wasmtime and the parsers of the text formats are right about what is valid, but a few hundred bytes can
//! cost them the stack or gigabytes of memory. So [`binary`], [`wat`] and [`wit`] measure what those would have to hold: nesting,
//! counts, tables and memories with their contents. They take time in proportion to the bytes, no memory but a few
//! bytes for each type and each function, and recurse nowhere.
//!
//! Modules that are malformed pass, for the parser that comes next says best what is wrong with them. It can't get further
//! into them than the scan did. Components that are malformed are refused, so that nothing hides from the scan in them
//! what the parser would see.

#![warn(missing_docs)]

mod code;
mod component;
mod constants;
mod image;
mod instructions;
mod limits;
mod module;
mod names;
mod reader;
mod refusal;
mod segments;
mod tally;
mod types;
mod wit;

pub use limits::{Limit, Limits};
pub use refusal::Refusal;

use reader::{Reader, Stop};
use tally::Tally;

/// Scans a module or a component in the binary format.
pub fn binary(bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let mut tally = Tally::new(limits);
    tally.check(Limit::Size, length(bytes), 0)?;
    let mut reader = Reader::new(bytes);
    let (scanned, is_component) = match bytes.get(4..8) {
        Some([_, _, 0, 0]) => (module::scan(&mut reader, &mut tally), false),
        Some(_) => (component::scan(&mut reader, &mut tally), true),
        None => return Ok(()),
    };
    match scanned {
        Err(Stop::Refused(refusal)) => Err(refusal),
        // Readers of modules don't recurse. Those of components do.
        Err(Stop::Malformed(offset)) if is_component => Err(Refusal::Malformed { offset }),
        Ok(()) | Err(Stop::Malformed(_)) => Ok(()),
    }
}

/// Scans a module or a component in the text format. Its parser limits how deep it recurses itself.
pub fn wat(text: &[u8], limits: &Limits) -> Result<(), Refusal> {
    Tally::new(limits).check(Limit::TextSize, length(text), 0)
}

/// Scans WIT.
pub fn wit(text: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let tally = Tally::new(limits);
    tally.check(Limit::TextSize, length(text), 0)?;
    wit::scan(text, &tally)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
