//! Function bodies: their size, their locals, and the cost of compiling their instructions.

use crate::Limit;
use crate::growth::Counts;
use crate::instructions::{Instruction, next};
use crate::module::Module;
use crate::reader::{Read, Reader, Stop};
use crate::tally::Tally;
use crate::types::{is_collected, value};

/// Scans the code section.
pub fn bodies(section: &mut Reader, tally: &mut Tally, module: &Module) -> Read<()> {
    let mut counts = Counts::new();
    for index in 0..section.u32()? {
        let at = section.at();
        let size = section.u32()?.into();
        tally.check(Limit::FunctionSize, size, at)?;
        let mut body = section.take(size)?;
        match body_of(index, &mut body, tally, module, &mut counts, at) {
            // The parser goes on with the next one.
            Ok(()) | Err(Stop::Malformed(_)) => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(())
}

fn body_of(
    index: u32,
    body: &mut Reader,
    tally: &mut Tally,
    module: &Module,
    counts: &mut Counts,
    at: usize,
) -> Read<()> {
    let (locals, held) = locals(body, tally)?;
    let passed = module.own_function(index);
    let taken = if module.takes_reference(index) {
        passed
    } else {
        0
    };
    counts.begin(locals.saturating_add(passed), held.saturating_add(taken));
    tally.add(Limit::Work, passed.saturating_mul(PASSED), at)?;
    instructions(body, tally, module, (passed, counts), at)
}

/// How many locals there are, and how many of them hold references.
fn locals(body: &mut Reader, tally: &mut Tally) -> Read<(u64, u64)> {
    let mut sum: u64 = 0;
    let mut held: u64 = 0;
    for _ in 0..body.u32()? {
        let at = body.at();
        let count = body.u32()?.into();
        tally.add(Limit::Locals, count, at)?;
        sum = sum.saturating_add(count);
        if is_collected(body.peek()?) {
            held = held.saturating_add(count);
        }
        value(body)?;
    }
    Ok((sum, held))
}

// Memory and time that wasmtime 48 needs to compile each kind, alone and at the limit, in units of a plain instruction.
// The time for loops and allocations grows with the square of their number.
const CALL: u64 = 10;
const INDIRECT: u64 = 50;
const LOOP: u64 = 200;
const CATCH: u64 = 10;
const MAKE: u64 = 500;
/// For each parameter and result of a function, which is also compiled as others call it.
const PASSED: u64 = 3;
/// For each value passed through a block: each block has its own copies.
const BLOCK_VALUE: u64 = 8;

/// `passed` is the number of parameters and results of the function, `start` its place.
fn instructions(
    body: &mut Reader,
    tally: &mut Tally,
    module: &Module,
    (passed, counts): (u64, &mut Counts),
    start: usize,
) -> Read<()> {
    let mut work: u64 = 0;
    // The maximum number of values a branch may carry.
    let mut carried = passed;
    while !body.is_empty() {
        let at = body.at();
        let mut handlers: u64 = 0;
        let instruction = next(body, &mut |met| {
            handlers = handlers.saturating_add(counts.meet(met, module));
        })?;
        counts.add(&instruction, module);
        let weight = match instruction {
            Instruction::Plain | Instruction::Global | Instruction::Set | Instruction::End => 1,
            Instruction::Several(written) => written,
            Instruction::Runtime => CALL,
            Instruction::Fill => LOOP,
            Instruction::Try(ty, catches) => {
                let values = module.type_of(ty);
                carried = carried.max(values);
                let passed = values.saturating_mul(BLOCK_VALUE).saturating_add(LOOP);
                catches.saturating_mul(CATCH).saturating_add(passed)
            }
            Instruction::Throw(tag) => CALL.saturating_add(tag.map_or(0, |tag| module.tag(tag))),
            Instruction::Block(ty) | Instruction::Loop(ty) if ty.is_some() => {
                let values = module.type_of(ty);
                carried = carried.max(values);
                LOOP.saturating_add(values.saturating_mul(BLOCK_VALUE))
            }
            Instruction::Block(_) => 1,
            Instruction::Loop(_) => LOOP,
            Instruction::Branch(targets) => targets.saturating_mul(carried.saturating_add(1)),
            Instruction::Call(function) => CALL.saturating_add(module.function(function)),
            Instruction::Indirect(ty) => INDIRECT.saturating_add(module.type_of(Some(ty))),
            Instruction::Make(ty) => MAKE.saturating_add(module.type_of(Some(ty))),
            Instruction::Fixed(operands) => MAKE.saturating_add(operands),
        };
        work = work.saturating_add(weight).saturating_add(handlers);
        tally.check(Limit::FunctionWork, work, at)?;
    }
    let growth = counts.growth(module);
    tally.check(Limit::FunctionWork, work.saturating_add(growth), start)?;
    Ok(tally.add(Limit::Work, growth, start)?)
}
