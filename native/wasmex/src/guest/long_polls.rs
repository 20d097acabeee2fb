//! Polls of a store's guests that take too long for a normal scheduler, and so move to a dirty one.

use crate::vm::dirty;
use std::sync::atomic::{AtomicU8, Ordering};

/// Which polls of one store are long.
pub struct LongPolls {
    /// All, because a trap parses debug information.
    always: bool,
    /// `ONCE`, `STAY` or both.
    asked: AtomicU8,
}

/// The next poll is.
const ONCE: u8 = 1;
/// Those from now on are.
const STAY: u8 = 2;

impl LongPolls {
    /// None but those asked for, or all.
    pub fn new(always: bool) -> Self {
        LongPolls {
            always,
            asked: AtomicU8::new(0),
        }
    }

    /// The next poll is long.
    pub fn once(&self) {
        self.asked.fetch_or(ONCE, Ordering::Relaxed);
    }

    /// Whether those from now on are.
    pub fn stay(&self, stay: bool) {
        match stay {
            true => self.asked.fetch_or(STAY, Ordering::Relaxed),
            false => self.asked.fetch_and(!STAY, Ordering::Relaxed),
        };
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
