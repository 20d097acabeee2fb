//! What a store's guests hold: the memory of terms that they hold as references and resources, which is limited, and
//! whether that and their own is so large that it takes long to collect or to free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the guests of one store hold.
pub struct Held {
    /// What terms may take together, and take.
    most: u64,
    terms: AtomicU64,
    /// The most that memories and objects took, and tables.
    memory: AtomicU64,
    tables: AtomicU64,
    /// What objects took of it when a call last ended or made an import.
    objects: AtomicU64,
    /// Whether the host's options are many strings.
    options: AtomicBool,
}

/// Bytes of memories, or of tables, that take longer to free than a scheduler may be held.
const FREED: u64 = 32 << 20;

/// The same of terms, which are freed one by one.
const TERMS: u64 = 2 << 20;

/// The same of objects that are collected without a break.
const COLLECTED: u64 = 2 << 20;

/// The same of objects a part of which is collected without a break: as many as there are, if they are large.
const STEPS: u64 = 4 << 20;

/// The same of objects that are collected if Elixir makes another one, which it rarely does.
const OBJECTS: u64 = 16 << 20;

/// The same of tables, each element of which refers to an object.
const ELEMENTS: u64 = 6 << 20;

/// What one term takes, until it is dropped.
pub struct Charge {
    held: Arc<Held>,
    bytes: u64,
}

impl Held {
    /// Terms of at most this many bytes.
    pub fn new(most: u64) -> Arc<Self> {
        Arc::new(Held {
            most,
            terms: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            tables: AtomicU64::new(0),
            objects: AtomicU64::new(0),
            options: AtomicBool::new(false),
        })
    }

    /// The guests' memories and objects have this size.
    pub fn memory_grown(&self, bytes: u64) {
        self.memory.fetch_max(bytes, Ordering::Relaxed);
    }

    /// The same of their tables.
    pub fn tables_grown(&self, bytes: u64) {
        self.tables.fetch_max(bytes, Ordering::Relaxed);
    }

    /// The host's options take long to free.
    pub fn options_are_large(&self) {
        self.options.store(true, Ordering::Relaxed);
    }

    /// Counts the objects, unless they are few: all memories have less.
    pub fn count_objects(&self, bytes: impl FnOnce() -> usize) {
        if self.memory.load(Ordering::Relaxed) >= COLLECTED {
            self.objects.store(bytes() as u64, Ordering::Relaxed);
        }
    }

    /// Whether it takes long to make an object outside of a call, since there is no break in a collection then.
    pub fn is_slow_to_allocate(&self) -> bool {
        self.objects.load(Ordering::Relaxed) >= OBJECTS
    }

    fn are_large(&self, memory: u64, tables: u64) -> bool {
        self.memory.load(Ordering::Relaxed) >= memory
            || self.tables.load(Ordering::Relaxed) >= tables
            || self.terms.load(Ordering::Relaxed) >= TERMS
    }

    /// Whether all of it takes long to free.
    pub fn is_slow_to_free(&self) -> bool {
        self.are_large(FREED, FREED) || self.options.load(Ordering::Relaxed)
    }

    /// Whether a collection without a break takes long.
    pub fn is_slow_to_collect(&self) -> bool {
        self.are_large(COLLECTED, ELEMENTS)
    }

    /// Whether even a collection with breaks holds a scheduler: tables and terms are gone through in one step each, and
    /// thousands of objects, which may be large arrays.
    pub fn has_slow_steps(&self) -> bool {
        self.are_large(STEPS, ELEMENTS)
    }

    /// Counts a term of this many bytes; `None` if it does not fit.
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Option<Charge> {
        let add = |held: u64| held.checked_add(bytes).filter(|held| *held <= self.most);
        let order = Ordering::Relaxed;
        self.terms.fetch_update(order, order, add).ok()?;
        let held = self.clone();
        Some(Charge { held, bytes })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.held.terms.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Held;

    #[test]
    fn terms_count_until_they_are_dropped() {
        let held = Held::new(1_000);
        let first = held.charge(400);
        assert!(first.is_some());
        let second = held.charge(400);
        assert!(second.is_some());
        assert!(held.charge(400).is_none());
        assert!(held.charge(u64::MAX).is_none());
        drop(first);
        assert!(held.charge(400).is_some());
    }
}
