//! How much guests may print: one budget for the streams that count together.

use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Budget {
    limit: usize,
    left: AtomicUsize,
}

impl Budget {
    pub fn new(limit: usize) -> Self {
        Budget {
            limit,
            left: AtomicUsize::new(limit),
        }
    }

    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Only the store's own guests take, one at a time, so what was left is still there.
    pub fn take(&self, count: usize) {
        self.left
            .fetch_sub(count.min(self.left()), Ordering::Relaxed);
    }

    pub fn spent(&self) -> OutputLimit {
        OutputLimit { limit: self.limit }
    }
}

/// What a guest that prints too much ends with.
#[derive(Debug)]
pub struct OutputLimit {
    pub limit: usize,
}

impl std::fmt::Display for OutputLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the guest printed more than {} bytes", self.limit)
    }
}

impl std::error::Error for OutputLimit {}
