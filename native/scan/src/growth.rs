//! What makes the time and the memory to compile a function grow faster than its size.
//!
//! Cranelift keeps apart what each global and each slot of a reference holds, at the beginning of each block (its
//! `alias_analysis`); it has values for each local at the beginning of each loop; and it looks for registers for those in
//! each of the loops around them.

use crate::blocks::Blocks;
use crate::instructions::{Instruction, Met};
use crate::module::Module;

/// Nested loops that are told apart. There are a handful in what compilers make.
const DEEPEST: usize = 4096;

/// What was met in a function.
pub struct Counts {
    instructions: u64,
    /// Edges between blocks.
    blocks: u64,
    globals: u64,
    made: u64,
    /// References that calls return.
    returned: u64,
    /// References from anywhere, and locals that hold some.
    references: u64,
    /// Locals and parameters that hold references.
    held: u64,
    /// Calls, those of the runtime included.
    calls: u64,
    loops: u64,
    /// Locals, and how often one is written.
    locals: u64,
    sets: u64,
    /// The blocks around each of these writes: where one ends, the local has one of two values.
    around: u64,
    /// Open blocks, and at which of them loops began.
    depth: u64,
    open: [u64; DEEPEST],
    nested: usize,
    deepest: u64,
    labels: Blocks,
}

// Measured with wasmtime 48 and as many of each as one another: 1,600 blocks and globals take 11 s, 1,600 blocks and
// references 0.5 s, 4,000 globals before 4,000 instructions that may trap 0.1 s; 2,000 loops in a row and 1,000
// locals 1.3 s and 250 MB, 200 nested loops and 100 locals 0.5 s, 500 and 500 of them 159 s, 2,364 and 2 of them 13
// s; 2,000 nested blocks and 2,000 locals 1.3 s and 370 MB. 4,000 references kept across 8,000 calls take 1.5 s and
// 600 MB; 1,000 calls within 1,000 handlers more than 20 s and 700 MB; 10,000 branches that pass 100 locals 8 s;
// 106,000 branches to one label 55 s; 51 edges with 36,000 locals more than 60 s. The units are instructions, of
// which some 150,000 take a second.
const CUBE: u64 = 1_200;
const REFERENCES: u64 = 32;
const KEPT: u64 = 32;
const HANDLED: u64 = 8;
const PASSED: u64 = 2;
const CROWDED: u64 = 1_000;
const CROSSED: u64 = 20_000;
const SOUGHT: u64 = 100;
const TRAPS: u64 = 2_000;
const LOOPS: u64 = 2;
const AROUND: u64 = 4;
const DEPTH: u64 = 8_000;
const NESTED: u64 = 1_150_000;

impl Counts {
    /// Nothing so far.
    pub fn new() -> Self {
        Counts {
            instructions: 0,
            blocks: 0,
            globals: 0,
            made: 0,
            returned: 0,
            references: 0,
            held: 0,
            calls: 0,
            loops: 0,
            locals: 0,
            sets: 0,
            around: 0,
            depth: 0,
            open: [0; DEEPEST],
            nested: 0,
            deepest: 0,
            labels: Blocks::default(),
        }
    }

    /// A function begins, with so many locals, parameters included, of which some hold references. The places of loops
    /// stay: they are written before they are read.
    pub fn begin(&mut self, locals: u64, held: u64) {
        self.instructions = 0;
        self.blocks = 0;
        self.globals = 0;
        self.made = 0;
        self.returned = 0;
        self.references = held;
        self.held = held;
        self.calls = 0;
        self.loops = 0;
        self.locals = locals;
        self.sets = 0;
        self.around = 0;
        self.depth = 0;
        self.nested = 0;
        self.deepest = 0;
        self.labels.begin();
    }

    /// What the next instruction leads to; returns what that costs.
    pub fn meet(&mut self, met: Met, module: &Module) -> u64 {
        let (label, reference) = match met {
            Met::Label(out) => (Some(out), false),
            Met::Tag(_) => (None, false),
            Met::Reference => (None, true),
            Met::Value(global) => (None, module.holds_reference(global)),
        };
        if let Some(out) = label {
            self.labels.branch(out);
        }
        self.references = self.references.saturating_add(reference.into());
        match met {
            Met::Tag(tag) => module.tag(tag).saturating_add(1),
            _ => 0,
        }
    }

    /// One instruction more.
    pub fn add(&mut self, instruction: &Instruction, module: &Module) {
        self.instructions = self.instructions.saturating_add(1);
        match *instruction {
            Instruction::Plain | Instruction::Several(_) => {}
            Instruction::Global => self.globals = self.globals.saturating_add(1),
            Instruction::Set => {
                self.around = self.around.saturating_add(self.depth);
                self.sets = self.sets.saturating_add(1);
                let kept = u64::from(self.held > 0);
                self.references = self.references.saturating_add(kept);
                self.labels.set();
            }
            Instruction::Block(_) => self.enter(0),
            Instruction::Try(_, catches) => self.enter(catches),
            Instruction::Loop(_) => self.enter_loop(),
            Instruction::End => self.end(),
            Instruction::Branch(targets) => self.blocks = self.blocks.saturating_add(targets),
            Instruction::Fill => {
                self.loops = self.loops.saturating_add(1);
                self.blocks = self.blocks.saturating_add(2);
                self.calls = self.calls.saturating_add(1);
            }
            Instruction::Runtime => self.calls = self.calls.saturating_add(1),
            Instruction::Throw(_) => self.call(false),
            Instruction::Call(function) => self.call(module.returns_reference(function)),
            Instruction::Indirect(ty) => {
                self.blocks = self.blocks.saturating_add(1);
                self.call(module.type_returns_reference(ty));
            }
            Instruction::Make(_) | Instruction::Fixed(_) => {
                self.made = self.made.saturating_add(1);
                self.blocks = self.blocks.saturating_add(1);
                self.references = self.references.saturating_add(1);
                self.calls = self.calls.saturating_add(1);
            }
        }
    }

    fn call(&mut self, returns_reference: bool) {
        let returned = u64::from(returns_reference);
        self.returned = self.returned.saturating_add(returned);
        self.references = self.references.saturating_add(returned);
        self.calls = self.calls.saturating_add(1);
        self.labels.call();
    }

    fn enter(&mut self, catches: u64) {
        self.depth = self.depth.saturating_add(1);
        self.blocks = self.blocks.saturating_add(1);
        self.labels.enter(catches);
    }

    fn enter_loop(&mut self) {
        self.enter(0);
        self.loops = self.loops.saturating_add(1);
        if let Some(slot) = self.open.get_mut(self.nested) {
            *slot = self.depth;
            self.nested = self.nested.saturating_add(1);
            let nested = u64::try_from(self.nested).unwrap_or(u64::MAX);
            self.deepest = self.deepest.max(nested);
        }
    }

    fn end(&mut self) {
        let innermost = self.nested.checked_sub(1);
        if let Some(place) = innermost.filter(|place| self.open.get(*place) == Some(&self.depth)) {
            self.nested = place;
        }
        self.depth = self.depth.saturating_sub(1);
        self.labels.end(self.locals);
    }

    /// What they cost together, beyond what each costs.
    pub fn growth(&self, module: &Module) -> u64 {
        let regions = self.globals.min(module.globals).saturating_add(self.made);
        let pairs = self.blocks.saturating_mul(regions);
        let values = self.sets.min(self.locals);
        [
            pairs.saturating_mul(self.blocks.min(regions)) / CUBE,
            self.blocks.saturating_mul(self.returned) / REFERENCES,
            self.references.saturating_mul(self.calls) / KEPT,
            self.labels.handled().saturating_mul(HANDLED),
            self.labels.passed() / PASSED,
            self.labels.crowded() / CROWDED,
            self.labels.crossed() / CROSSED,
            self.labels.ways().saturating_mul(self.locals) / SOUGHT,
            self.instructions.saturating_mul(regions) / TRAPS,
            self.loops.saturating_mul(values) / LOOPS,
            self.deepest.saturating_pow(3) / DEPTH,
            self.around.min(values.saturating_mul(self.blocks)) / AROUND,
            self.deepest
                .saturating_pow(3)
                .saturating_mul(values.saturating_pow(2))
                / NESTED,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}
