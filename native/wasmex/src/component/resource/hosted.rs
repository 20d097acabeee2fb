//! Resources implemented in Elixir: terms that a guest knows by index.

use crate::guest::held::Held;
use crate::guest::host_term::HostTerm;
use crate::vm::error::Result;
use crate::vm::janitor;
use rustler::{Env, Term};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Maximum number of terms in a store; a guest that never drops any would fill the host's memory.
pub const MOST: usize = 100_000;

/// Terms that are freed on a scheduler.
const FEW: usize = 1_000;

/// The terms of one store, by index.
#[derive(Default)]
pub struct HostedTable {
    slots: Mutex<Slots>,
    /// What they may take together.
    held: OnceLock<Arc<Held>>,
}

#[derive(Default)]
struct Slots {
    entries: Vec<Option<HostTerm>>,
    free: Vec<u32>,
}

impl HostedTable {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what they may take together; before the first of them is added.
    pub fn limit(&self, held: &Arc<Held>) {
        let _ = self.held.set(held.clone());
    }

    /// Whether this many more fit.
    pub fn has_room(&self, more: usize) -> bool {
        let slots = self.lock();
        slots.entries.len() - slots.free.len() + more <= MOST
    }

    /// Adds a term and returns its index.
    pub fn insert(&self, term: HostTerm) -> Result<u32> {
        if !self.held.get().is_none_or(|held| term.fits(held)) {
            return Err(HostTerm::too_many());
        }
        let mut slots = self.lock();
        Ok(match slots.free.pop() {
            Some(index) => {
                slots.entries[index as usize] = Some(term);
                index
            }
            None => {
                slots.entries.push(Some(term));
                slots.entries.len() as u32 - 1
            }
        })
    }

    /// The term. With `take` it is removed, because ownership passes to the caller.
    pub fn get<'a>(&self, env: Env<'a>, index: u32, take: bool) -> Option<Term<'a>> {
        let mut slots = self.lock();
        let term = slots.entries.get(index as usize)?.as_ref()?.get(env);
        if take {
            slots.remove(index);
        }
        Some(term)
    }

    /// Removes the term with this index, if any.
    pub fn remove(&self, index: u32) {
        self.lock().remove(index);
    }

    /// Removes all terms.
    pub fn clear(&self) {
        let slots = std::mem::take(&mut *self.lock());
        // A term may hold the last handle of a store, so not under the lock.
        match slots.entries.len() {
            0..=FEW => drop(slots),
            _ => janitor::drop_elsewhere(slots),
        }
    }
}

impl Drop for HostedTable {
    fn drop(&mut self) {
        self.clear();
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
