//! Results of earlier lookups by name, found without wasmtime.

use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// How many of the first names are found without a lock.
const FIRST: usize = 4;

/// A name and its value.
struct Entry<T>(Box<[u8]>, Arc<T>);

/// Values by name.
pub struct Names<T> {
    /// Most guests have few functions that are called often. Each name has one place here, if no other has taken it.
    first: [OnceLock<Entry<T>>; FIRST],
    /// All. The names come from a guest, so the hash is seeded.
    all: RwLock<HashMap<Box<[u8]>, Arc<T>, RandomState>>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Names {
            first: [const { OnceLock::new() }; FIRST],
            all: RwLock::default(),
        }
    }
}

fn place(name: &[u8]) -> usize {
    let last = name.last().copied().map_or(0, usize::from);
    name.len().wrapping_add(last) % FIRST
}

/// A value that was found.
pub enum Found<T> {
    /// One of the first, which stay where they are: no reference is counted.
    First(usize),
    /// Any other.
    Other(Arc<T>),
}

impl<T> Names<T> {
    /// Finds the value with this name, if it was looked up before; see [`Self::value`].
    pub fn find(&self, name: &[u8]) -> Option<Found<T>> {
        let place = place(name);
        if let Some(Entry(known, _)) = self.first[place].get()
            && **known == *name
        {
            return Some(Found::First(place));
        }
        self.get(name).map(Found::Other)
    }

    /// What was found in these names.
    pub fn value<'a>(&'a self, found: &'a Found<T>) -> Option<&'a T> {
        match found {
            Found::First(place) => self
                .first
                .get(*place)?
                .get()
                .map(|Entry(_, value)| &**value),
            Found::Other(value) => Some(value),
        }
    }

    /// The value with this name, if it was looked up before.
    pub fn get(&self, name: &[u8]) -> Option<Arc<T>> {
        if let Some(Entry(known, value)) = self.first[place(name)].get()
            && **known == *name
        {
            return Some(value.clone());
        }
        self.all
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Stores the result of a lookup.
    pub fn keep(&self, name: &[u8], found: &Arc<T>) {
        // Another name may have its place.
        let _ = self.first[place(name)].set(Entry(name.into(), found.clone()));
        self.all
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.into(), found.clone());
    }
}
