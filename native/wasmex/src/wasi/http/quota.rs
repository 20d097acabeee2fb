//! Byte limits, for one body and for all bodies of a store together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Of one body.
#[derive(Clone)]
pub struct Quota {
    limit: Option<u64>,
    left: u64,
    total: Total,
}

/// Of all bodies of a client, in both directions.
#[derive(Clone)]
pub struct Total {
    limit: Option<u64>,
    taken: Arc<AtomicU64>,
}

impl Total {
    /// A total with this limit.
    pub fn new(limit: Option<u64>) -> Self {
        Total {
            limit,
            taken: Arc::default(),
        }
    }

    fn take(&self, count: u64) -> Result<(), u64> {
        let taken = self.taken.fetch_add(count, Ordering::Relaxed);
        match self.limit {
            Some(limit) if taken.saturating_add(count) > limit => Err(limit),
            _ => Ok(()),
        }
    }
}

impl Quota {
    /// A limit for one body, which also counts towards the total.
    pub fn new(limit: Option<u64>, total: &Total) -> Self {
        Quota {
            limit,
            left: limit.unwrap_or(u64::MAX),
            total: total.clone(),
        }
    }

    /// The limit that would be exceeded, if any.
    pub fn take(&mut self, count: usize) -> Result<(), u64> {
        let count = count as u64;
        match (self.left.checked_sub(count), self.limit) {
            (None, Some(limit)) => return Err(limit),
            (left, _) => self.left = left.unwrap_or(0),
        }
        self.total.take(count)
    }

    /// Whether this many bytes would be allowed, before they arrive.
    pub fn allows(&self, count: u64) -> bool {
        count <= self.left
    }
}
