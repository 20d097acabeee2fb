//! Values by the address of what they belong to. Most values have few types, which are found faster without hashing.

use smallvec::SmallVec;
use std::collections::HashMap;

/// As many are searched one after the other.
const FEW: usize = 8;

/// Values by address.
pub struct ByAddress<V> {
    few: SmallVec<[(usize, V); FEW]>,
    others: Option<HashMap<usize, V>>,
}

impl<V: Copy> ByAddress<V> {
    /// None yet.
    pub fn new() -> Self {
        ByAddress {
            few: SmallVec::new(),
            others: None,
        }
    }

    /// The value of this owner.
    #[inline]
    pub fn get<T>(&self, owner: &T) -> Option<V> {
        let address = std::ptr::from_ref(owner) as usize;
        match self.few.iter().find(|(known, _)| *known == address) {
            Some((_, value)) => Some(*value),
            None => self.others.as_ref()?.get(&address).copied(),
        }
    }

    /// Remembers the value of this owner, which has none yet.
    pub fn insert<T>(&mut self, owner: &T, value: V) {
        let address = std::ptr::from_ref(owner) as usize;
        if self.few.len() < FEW {
            self.few.push((address, value));
        } else {
            self.others.get_or_insert_default().insert(address, value);
        }
    }
}
