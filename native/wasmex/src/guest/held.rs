//! The memory of terms that a store's guests hold as references and resources, and whether their own is large.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the terms of one store take, and may take together.
pub struct Held {
    most: u64,
    bytes: AtomicU64,
    large: AtomicBool,
}

/// More memory than this takes too long to free, or to collect, on a scheduler.
pub const LARGE: u64 = 32 << 20;

/// What one term takes, until it is dropped.
pub struct Charge {
    held: Arc<Held>,
    bytes: u64,
}

/// A term takes a reference besides its words.
const REFERENCE: u64 = 64;

const WORD: u64 = 8;

impl Held {
    /// At most this many bytes.
    pub fn new(most: u64) -> Arc<Self> {
        Arc::new(Held {
            most,
            bytes: AtomicU64::new(0),
            large: AtomicBool::new(false),
        })
    }

    /// The guests' memories and objects have had this size.
    pub fn grown(&self, bytes: u64) {
        if bytes >= LARGE {
            self.large.store(true, Ordering::Relaxed);
        }
    }

    /// Whether they ever were large.
    pub fn is_large(&self) -> bool {
        self.large.load(Ordering::Relaxed)
    }

    /// Counts a term of this many words; `None` if it does not fit.
    pub fn charge(self: &Arc<Self>, words: u64) -> Option<Charge> {
        let bytes = words.saturating_mul(WORD).saturating_add(REFERENCE);
        let add = |held: u64| held.checked_add(bytes).filter(|held| *held <= self.most);
        let order = Ordering::Relaxed;
        self.bytes.fetch_update(order, order, add).ok()?;
        let held = self.clone();
        Some(Charge { held, bytes })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Held;

    #[test]
    fn terms_count_until_they_are_dropped() {
        let held = Held::new(1_000);
        let first = held.charge(50);
        assert!(first.is_some());
        let second = held.charge(50);
        assert!(second.is_some());
        assert!(held.charge(50).is_none());
        assert!(held.charge(u64::MAX).is_none());
        drop(first);
        assert!(held.charge(50).is_some());
    }
}
