//! How much guests may print: one budget for the streams that count together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be printed.
pub struct Budget {
    limit: usize,
    left: AtomicUsize,
}

impl Budget {
    /// All of it is left.
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

    /// Only the guests of one store take from it, one at a time, so the rest can't shrink in between.
    pub fn take(&self, count: usize) {
        self.left
            .fetch_sub(count.min(self.left()), Ordering::Relaxed);
    }

    /// The error for a guest that prints more.
    pub fn spent(&self) -> OutputLimit {
        OutputLimit { limit: self.limit }
    }
}

/// How a guest ends that prints too much.
#[derive(Debug)]
pub struct OutputLimit {
    /// Bytes that it might have printed.
    pub limit: usize,
}

impl std::fmt::Display for OutputLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the guest printed more than {} bytes", self.limit)
    }
}

impl std::error::Error for OutputLimit {}
