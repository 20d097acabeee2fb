//! The sizes of a component's types, with what is in them as often as it is there.
//!
//! Twenty lines are enough for a type with a million parts. What is passed to a component that is instantiated is compared with what it
//! imports, part by part, each time.

use std::iter;

/// The parser rejects larger types.
const LARGEST: u64 = 1_000_000;

/// The types of the open scopes, those of components and of types that declare types.
pub struct Sizes {
    scopes: Vec<Scope>,
    /// The size of the largest type so far.
    largest: u64,
    /// The same of those that are exported as types. One of another instance, which is known by its name, is one of these.
    exported: u64,
}

#[derive(Default)]
struct Scope {
    /// By index.
    types: Vec<u32>,
    /// The size of what it declares to import and export.
    sum: u64,
}

impl Sizes {
    /// The outermost component.
    pub fn new() -> Self {
        Sizes {
            scopes: vec![Scope::default()],
            largest: 1,
            exported: 1,
        }
    }

    /// The size of the largest type so far.
    pub fn largest(&self) -> u64 {
        self.largest
    }

    /// Enters a component, or a type that declares types.
    pub fn open(&mut self) {
        self.scopes.push(Scope::default());
    }

    /// Leaves it and returns the size of what it imports and exports.
    pub fn close(&mut self) -> u64 {
        self.scopes.pop().map_or(0, |scope| scope.sum)
    }

    /// The innermost scope imports or exports something of this size, with the next index if it is a type.
    pub fn declare(&mut self, size: u64, is_type: bool) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.sum = scope.sum.saturating_add(size);
        }
        if is_type {
            self.exported = self.exported.max(size.min(LARGEST));
            self.define(size);
        }
    }

    /// The innermost scope has a type of this size, with the next index.
    pub fn define(&mut self, size: u64) {
        let size = size.min(LARGEST);
        self.largest = self.largest.max(size);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        if let Some(scope) = self.scopes.last_mut() {
            scope.types.push(size);
        }
    }

    /// The same for a type that an instance exports.
    pub fn define_exported(&mut self) {
        self.define(self.exported);
    }

    /// The size of a type of the innermost scope, 1 for a primitive type.
    pub fn of(&self, ty: Option<u32>) -> u64 {
        ty.map_or(1, |index| self.outer(0, index))
    }

    /// The size of a type of an outer scope.
    pub fn outer(&self, out: u32, index: u32) -> u64 {
        let find = || {
            let scope = self.scopes.iter().rev().nth(usize::try_from(out).ok()?)?;
            let size = scope.types.get(usize::try_from(index).ok()?)?;
            Some(u64::from(*size))
        };
        find().unwrap_or(self.largest)
    }
}

/// The sum of the results, and one for what contains them.
pub fn sum<E>(
    count: u64,
    mut each: impl FnMut() -> std::result::Result<u64, E>,
) -> std::result::Result<u64, E> {
    let mut sum: u64 = 1;
    for _ in iter::repeat_n((), usize::try_from(count).unwrap_or(usize::MAX)) {
        sum = sum.saturating_add(each()?);
    }
    Ok(sum)
}
