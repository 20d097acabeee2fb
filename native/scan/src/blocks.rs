//! The open blocks of a function: the branches to each, the locals written in it, and the handlers of exceptions.
//!
//! Where branches meet, Cranelift passes each local that may differ with each of them. A call knows every handler
//! around it, and each handler is a place where the calls inside meet.

/// Nested blocks that are told apart; those further in count as one. There are some hundreds in what compilers make.
const DEEPEST: usize = 4096;

struct Open {
    /// Writes of locals and calls before it began.
    sets: u64,
    calls: u64,
    /// Branches to its label.
    ways: u64,
    /// Its handlers.
    catches: u64,
}

/// A stack of blocks, innermost last, and what they cost so far.
#[derive(Default)]
pub struct Blocks {
    /// Those that are told apart. On the heap: they would take a third of a dirty scheduler's stack.
    open: Vec<Open>,
    depth: usize,
    sets: u64,
    calls: u64,
    /// Handlers of all open blocks.
    catches: u64,
    /// All branches.
    ways: u64,
    /// Branches to the label of the function.
    returns: u64,
    /// For each label, the square of the branches to it.
    crowded: u64,
    /// Values passed by branches.
    passed: u64,
    /// The same, each as often as others are passed with it.
    crossed: u64,
    /// Handlers known to calls.
    handled: u64,
}

impl Blocks {
    /// A function begins.
    pub fn begin(&mut self) {
        let mut open = std::mem::take(&mut self.open);
        open.clear();
        *self = Blocks {
            open,
            ..Blocks::default()
        };
    }

    /// A block, a loop or a condition begins, with so many handlers.
    pub fn enter(&mut self, catches: u64) {
        if self.depth < DEEPEST {
            self.open.push(Open {
                sets: self.sets,
                calls: self.calls,
                ways: 0,
                catches,
            });
        } else if let Some(slot) = self.open.last_mut() {
            slot.catches = slot.catches.saturating_add(catches);
        }
        self.depth = self.depth.saturating_add(1);
        self.catches = self.catches.saturating_add(catches);
    }

    /// A branch to the label of the block so many levels further out.
    pub fn branch(&mut self, out: u32) {
        self.ways = self.ways.saturating_add(1);
        match self.slot(out) {
            Some(slot) => slot.ways = slot.ways.saturating_add(1),
            None => self.returns = self.returns.saturating_add(1),
        }
    }

    /// A write of a local.
    pub fn set(&mut self) {
        self.sets = self.sets.saturating_add(1);
    }

    /// A call, or another instruction that may throw an exception.
    pub fn call(&mut self) {
        self.calls = self.calls.saturating_add(1);
        self.handled = self.handled.saturating_add(self.catches);
    }

    /// The innermost block of a function with so many locals ends.
    pub fn end(&mut self, locals: u64) {
        let shared = self.depth > DEEPEST;
        self.depth = self.depth.saturating_sub(1);
        if shared {
            return;
        }
        let Some(open) = self.open.pop() else {
            return;
        };
        let sets = self.sets.saturating_sub(open.sets).min(locals);
        let calls = self.calls.saturating_sub(open.calls);
        let caught = open.catches.saturating_mul(calls);
        let met = open.ways.saturating_add(caught).saturating_mul(sets);
        self.passed = self.passed.saturating_add(met);
        self.crossed = self.crossed.saturating_add(met.saturating_mul(sets));
        self.crowded = self.crowded.saturating_add(open.ways.saturating_pow(2));
        self.catches = self.catches.saturating_sub(open.catches);
    }

    /// All branches.
    pub fn ways(&self) -> u64 {
        self.ways
    }

    /// The branches to one label that meet one another there.
    pub fn crowded(&self) -> u64 {
        self.crowded.saturating_add(self.returns.saturating_pow(2))
    }

    /// Values that branches pass.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Values that branches pass, each as often as others are passed with it.
    pub fn crossed(&self) -> u64 {
        self.crossed
    }

    /// Handlers that calls know.
    pub fn handled(&self) -> u64 {
        self.handled
    }

    fn slot(&mut self, out: u32) -> Option<&mut Open> {
        let out = usize::try_from(out).ok()?;
        let place = self.depth.checked_sub(1)?.checked_sub(out)?;
        self.open.get_mut(place.min(DEEPEST.saturating_sub(1)))
    }
}
