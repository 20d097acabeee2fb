//! Resources that Elixir implements: terms, which a guest knows by a number.

use crate::vm::term_box::TermBox;
use rustler::{Env, Term};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Terms that a store may have: a guest that drops none would fill the host's memory.
pub const MOST: usize = 100_000;

/// The terms of one store, by number.
#[derive(Default)]
pub struct HostedTable(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    entries: Vec<Option<TermBox>>,
    free: Vec<u32>,
}

impl HostedTable {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many more fit.
    pub fn has_room(&self, more: usize) -> bool {
        let slots = self.lock();
        slots.entries.len() - slots.free.len() + more <= MOST
    }

    /// Adds a term and returns its number.
    pub fn insert(&self, term: TermBox) -> u32 {
        let mut slots = self.lock();
        match slots.free.pop() {
            Some(index) => {
                slots.entries[index as usize] = Some(term);
                index
            }
            None => {
                slots.entries.push(Some(term));
                slots.entries.len() as u32 - 1
            }
        }
    }

    /// The term; with `take` it is gone from here, for it belongs to whoever asks.
    pub fn get<'a>(&self, env: Env<'a>, index: u32, take: bool) -> Option<Term<'a>> {
        let mut slots = self.lock();
        let term = slots.entries.get(index as usize)?.as_ref()?.get(env);
        if take {
            slots.remove(index);
        }
        Some(term)
    }

    /// Forgets the term of this number, if there is one.
    pub fn remove(&self, index: u32) {
        self.lock().remove(index);
    }

    /// Forgets all terms.
    pub fn clear(&self) {
        let slots = std::mem::take(&mut *self.lock());
        // A term may hold the last handle of a store; not under the lock.
        drop(slots);
    }
}

impl Slots {
    fn remove(&mut self, index: u32) {
        if let Some(entry) = self.entries.get_mut(index as usize)
            && entry.take().is_some()
        {
            self.free.push(index);
        }
    }
}
