//! Why bytes are refused.

use crate::Limit;

/// Why bytes are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is too much of something.
    Exceeded {
        /// Which limit it is.
        limit: Limit,
        /// How much there is, as far as was read.
        value: u64,
        /// How much may be.
        most: u64,
        /// Where in the bytes the limit was passed.
        offset: usize,
    },
    /// The parser would recurse into it, and the scan can't read it.
    Malformed {
        /// Where in the bytes it is.
        offset: usize,
    },
}
