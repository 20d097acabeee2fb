//! The variables of a plug-in: bytes by name, which outlive a call.

use std::collections::HashMap;

/// What the reference counts for each variable beside its key and value.
const OVERHEAD: usize = 48;

pub struct Vars {
    values: HashMap<String, Vec<u8>>,
    bytes: usize,
    /// Bytes that all of them may take; 0 allows none.
    most: usize,
}

impl Vars {
    pub fn new(most: usize) -> Self {
        Vars {
            values: HashMap::new(),
            bytes: 0,
            most,
        }
    }

    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.values
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    /// A variable that is replaced counts with its old and its new value, as in the reference.
    pub fn set(&mut self, key: &str, value: &[u8]) -> Result<(), &'static str> {
        if self.most == 0 {
            return Err("Vars are disabled by this host");
        }
        let cost = cost(key, value);
        if self.bytes.saturating_add(cost) > self.most {
            return Err("Variable store is full");
        }
        self.forget(key);
        self.bytes += cost;
        self.values.insert(key.to_string(), value.to_vec());
        Ok(())
    }

    pub fn unset(&mut self, key: &str) -> Result<(), &'static str> {
        if self.most == 0 {
            return Err("Vars are disabled by this host");
        }
        self.forget(key);
        Ok(())
    }

    fn forget(&mut self, key: &str) {
        if let Some(value) = self.values.remove(key) {
            self.bytes -= cost(key, &value);
        }
    }

    pub fn clear(&mut self) {
        self.values = HashMap::new();
        self.bytes = 0;
    }
}

fn cost(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + OVERHEAD
}
