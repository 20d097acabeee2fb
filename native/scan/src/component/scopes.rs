//! The open component scopes of a scan, and the cost of instantiating each component.
//!
//! Ten lines are enough for a component that makes two instances of another, which makes two of a third, and so on: a
//! million in all. So each component that can be instantiated has a weight: everything created with one instance of it.

use crate::Limit;
use crate::reader::{Read, Reader};
use crate::tally::Tally;

/// Maximum nesting of components, whatever the limit.
const DEEPEST: usize = 128;

/// Components that can be named in all open scopes, aliases included.
const NAMED: usize = 4096;

/// The weight of an imported component: a few are fine, but they cannot be multiplied far.
const UNKNOWN: u64 = 4096;

#[derive(Clone, Copy)]
struct Scope {
    /// The offset of its end.
    end: usize,
    /// The index of its first weight.
    first: usize,
    /// What one instance of it creates.
    weight: u64,
    /// Its imports, exports and aliases, and those of its instances, which are there in each instance of it.
    items: u64,
}

/// Items that take about as much as an instance.
const ITEMS: u64 = 8;

impl Scope {
    fn weight(&self) -> u64 {
        self.weight.saturating_add(self.items / ITEMS)
    }
}

/// A stack of scopes, innermost last.
pub struct Scopes {
    open: [Scope; DEEPEST],
    depth: usize,
    /// The weights of the nameable components, scope after scope.
    weights: [u64; NAMED],
    named: usize,
}

impl Scopes {
    /// The scopes at the start of a file.
    pub fn new() -> Self {
        let scope = Scope {
            end: 0,
            first: 0,
            weight: 0,
            items: 0,
        };
        Scopes {
            open: [scope; DEEPEST],
            depth: 0,
            weights: [0; NAMED],
            named: 0,
        }
    }

    /// Enters a component with these sections.
    pub fn open(&mut self, tally: &Tally, sections: &Reader) -> Read<()> {
        let depth = u64::try_from(self.depth).unwrap_or(u64::MAX);
        tally.check(Limit::Nesting, depth, sections.at())?;
        let Some(scope) = self.open.get_mut(self.depth) else {
            return sections.malformed();
        };
        *scope = Scope {
            end: sections.at().saturating_add(sections.left()),
            first: self.named,
            weight: 1,
            items: 0,
        };
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    /// Unread bytes of the innermost component; `None` once all have ended.
    pub fn left(&self, at: usize) -> Option<usize> {
        let scope = self.open.get(self.depth.checked_sub(1)?)?;
        Some(scope.end.saturating_sub(at))
    }

    /// Leaves the innermost component, which can be instantiated from then on.
    pub fn close(&mut self) {
        let Some(scope) = self.innermost().copied() else {
            return;
        };
        self.depth = self.depth.saturating_sub(1);
        self.named = scope.first;
        if self.depth > 0 {
            self.name(scope.weight());
        }
    }

    /// What the innermost component has created so far.
    pub fn instances(&self) -> u64 {
        let innermost = self.depth.checked_sub(1);
        innermost
            .and_then(|place| self.open.get(place))
            .map_or(0, Scope::weight)
    }

    /// The innermost component creates more items.
    pub fn add(&mut self, more: u64) {
        if let Some(scope) = self.innermost() {
            scope.weight = scope.weight.saturating_add(more);
        }
    }

    /// The innermost component has more items.
    pub fn add_items(&mut self, more: u64) {
        if let Some(scope) = self.innermost() {
            scope.items = scope.items.saturating_add(more);
        }
    }

    /// The innermost component instantiates the component with this index; returns what that creates.
    pub fn instantiate(&mut self, index: u32) -> u64 {
        let weight = self.weight(0, index);
        self.add(weight);
        weight
    }

    /// An imported component gets the next index.
    pub fn unknown(&mut self, reader: &Reader) -> Read<()> {
        self.named_or_malformed(UNKNOWN, reader)
    }

    /// An alias of a component in an outer scope gets the next index.
    pub fn outer(&mut self, out: u32, index: u32, reader: &Reader) -> Read<()> {
        let weight = self.weight(out, index);
        self.named_or_malformed(weight, reader)
    }

    fn weight(&self, out: u32, index: u32) -> u64 {
        let place = || {
            let out = usize::try_from(out).ok()?;
            let scope = self.depth.checked_sub(1)?.checked_sub(out)?;
            let first = self.open.get(scope)?.first;
            let end = match out {
                0 => self.named,
                _ => self.open.get(scope.checked_add(1)?)?.first,
            };
            let place = first.checked_add(usize::try_from(index).ok()?)?;
            (place < end).then_some(place)
        };
        place()
            .and_then(|place| self.weights.get(place))
            .copied()
            .unwrap_or(UNKNOWN)
    }

    fn named_or_malformed(&mut self, weight: u64, reader: &Reader) -> Read<()> {
        match self.name(weight) {
            true => Ok(()),
            false => reader.malformed(),
        }
    }

    /// Whether there was room for it. If not, instantiating it finds no such component.
    fn name(&mut self, weight: u64) -> bool {
        let slot = self.weights.get_mut(self.named);
        let there = slot.map(|slot| *slot = weight).is_some();
        self.named = self.named.saturating_add(usize::from(there));
        there
    }

    fn innermost(&mut self) -> Option<&mut Scope> {
        self.open.get_mut(self.depth.checked_sub(1)?)
    }
}
