//! The variables of a plug-in: bytes by name, kept between calls.

use std::collections::HashMap;
use std::sync::Arc;

/// Overhead counted for each variable, as in the reference implementation.
const OVERHEAD: usize = 48;

/// Freeing more bytes than this takes some time.
const LARGE: usize = 4 << 20;

/// The variables of a plug-in.
pub struct Vars {
    values: HashMap<String, Arc<Vec<u8>>>,
    bytes: usize,
    /// Maximum total size; 0 allows none.
    most: usize,
}

impl Vars {
    /// No variables, with this maximum size.
    pub fn new(most: usize) -> Self {
        Vars {
            values: HashMap::new(),
            bytes: 0,
            most,
        }
    }

    /// The value, which stays unchanged when the variable is set again.
    pub fn get(&self, key: &str) -> Option<Arc<Vec<u8>>> {
        self.values.get(key).cloned()
    }

    /// All variables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.values
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    /// Whether a value of this length may be set. A replaced variable counts with its old and its new value, as in the
    /// reference implementation.
    pub fn fits(&self, key: &str, length: usize) -> Result<(), &'static str> {
        if self.most == 0 {
            return Err("Vars are disabled by this host");
        }
        if self.bytes.saturating_add(cost(key, length)) > self.most {
            return Err("Variable store is full");
        }
        Ok(())
    }

    /// Sets a variable, within the maximum size.
    pub fn set(&mut self, key: &str, value: Vec<u8>) -> Result<(), &'static str> {
        self.fits(key, value.len())?;
        self.forget(key);
        self.bytes += cost(key, value.len());
        self.values.insert(key.to_string(), Arc::new(value));
        Ok(())
    }

    /// Deletes a variable.
    pub fn unset(&mut self, key: &str) -> Result<(), &'static str> {
        if self.most == 0 {
            return Err("Vars are disabled by this host");
        }
        self.forget(key);
        Ok(())
    }

    fn forget(&mut self, key: &str) {
        if let Some(value) = self.values.remove(key) {
            self.bytes -= cost(key, value.len());
        }
    }

    /// Takes all variables out.
    pub fn take(&mut self) -> Vars {
        std::mem::replace(self, Vars::new(self.most))
    }

    /// Whether freeing them takes some time.
    pub fn are_large(&self) -> bool {
        self.bytes > LARGE
    }
}

fn cost(key: &str, length: usize) -> usize {
    key.len() + length + OVERHEAD
}
