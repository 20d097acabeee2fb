//! Polls of a store's guests that take too long for a normal scheduler, and so move to a dirty one.

use crate::vm::dirty;
use std::sync::atomic::{AtomicU32, Ordering};

/// Which polls of one store are long.
pub struct LongPolls {
    /// All, because a trap parses debug information.
    always: bool,
    /// `ONCE`, and how often `STAY` was asked for.
    asked: AtomicU32,
}

/// The next poll is.
const ONCE: u32 = 1;
/// Those from now on are.
const STAY: u32 = 2;

impl LongPolls {
    /// None but those asked for, or all.
    pub fn new(always: bool) -> Self {
        LongPolls {
            always,
            asked: AtomicU32::new(0),
        }
    }

    /// The next poll is long.
    pub fn once(&self) {
        self.asked.fetch_or(ONCE, Ordering::Relaxed);
    }

    /// Those from now on are, until `leave` was called as often.
    pub fn stay(&self) {
        self.asked.fetch_add(STAY, Ordering::Relaxed);
    }

    /// Undoes one `stay`.
    pub fn leave(&self) {
        self.asked.fetch_sub(STAY, Ordering::Relaxed);
    }

    /// Whether all are long for now.
    pub fn stays(&self) -> bool {
        self.asked.load(Ordering::Relaxed) >= STAY
    }

    /// Whether the poll that begins now must move to a dirty scheduler.
    pub fn must_move(&self) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        if asked & ONCE != 0 {
            self.asked.fetch_and(!ONCE, Ordering::Relaxed);
        }
        (self.always || asked != 0) && dirty::is_normal()
    }
}
