//! Limits how much guests may print: one budget for all streams that share it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Remaining output in bytes.
pub struct Budget {
    limit: usize,
    left: AtomicUsize,
}

impl Budget {
    /// A full budget.
    pub fn new(limit: usize) -> Self {
        Budget {
            limit,
            left: AtomicUsize::new(limit),
        }
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Only the guests of one store use it, one at a time, so it cannot shrink in between.
    pub fn take(&self, count: usize) {
        self.left
            .fetch_sub(count.min(self.left()), Ordering::Relaxed);
    }

    /// The error of a guest that exceeds it.
    pub fn spent(&self) -> OutputLimit {
        OutputLimit { limit: self.limit }
    }
}

/// Ends a guest that prints too much.
#[derive(Debug)]
pub struct OutputLimit {
    /// The limit in bytes.
    pub limit: usize,
}

impl std::fmt::Display for OutputLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the guest printed more than {} bytes", self.limit)
    }
}

impl std::error::Error for OutputLimit {}
