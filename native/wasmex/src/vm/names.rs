//! What was looked up by a name before, to be found again without wasmtime.

use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Things by their names. The names are a guest's, so the hash has a seed.
pub struct Names<T>(RwLock<HashMap<Box<[u8]>, Arc<T>, RandomState>>);

impl<T> Default for Names<T> {
    fn default() -> Self {
        Names(RwLock::default())
    }
}

impl<T> Names<T> {
    /// What has this name, if it was looked up before.
    pub fn get(&self, name: &[u8]) -> Option<Arc<T>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Keeps what was looked up.
    pub fn keep(&self, name: &[u8], found: &Arc<T>) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.into(), found.clone());
    }
}
