//! Results of earlier lookups by name, found without wasmtime.

use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Values by name. The names come from a guest, so the hash is seeded.
pub struct Names<T>(RwLock<HashMap<Box<[u8]>, Arc<T>, RandomState>>);

impl<T> Default for Names<T> {
    fn default() -> Self {
        Names(RwLock::default())
    }
}

impl<T> Names<T> {
    /// The value with this name, if it was looked up before.
    pub fn get(&self, name: &[u8]) -> Option<Arc<T>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Stores the result of a lookup.
    pub fn keep(&self, name: &[u8], found: &Arc<T>) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.into(), found.clone());
    }
}
