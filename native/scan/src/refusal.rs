//! Why bytes are refused.

use crate::Limit;

/// Why bytes are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A limit was exceeded.
    Exceeded {
        /// The limit.
        limit: Limit,
        /// The value, as far as it was read.
        value: u64,
        /// The maximum.
        most: u64,
        /// The offset at which the limit was exceeded.
        offset: usize,
    },
    /// The parser would recurse into it, but the scan cannot read it.
    Malformed {
        /// The offset.
        offset: usize,
    },
}
