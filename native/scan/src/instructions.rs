//! Instructions of functions, one at a time (core specification, section 5.4).

use crate::reader::{Read, Reader};
use crate::types::{heap, is_collected, value};

/// An instruction, reduced to its cost for the compiler.
#[derive(Clone, Copy)]
pub enum Instruction {
    /// A cheap instruction.
    Plain,
    /// One that Cranelift writes out as this many.
    Several(u64),
    /// One that calls the runtime.
    Runtime,
    /// One that becomes a loop of its own.
    Fill,
    /// A block, with the index of its type if it has one.
    Block(Option<u32>),
    /// A block with this many handlers of exceptions.
    Try(Option<u32>, u64),
    /// A loop.
    Loop(Option<u32>),
    /// A branch with this many targets.
    Branch(u64),
    /// An exception with this tag, or one that is there already.
    Throw(Option<u32>),
    /// A call of the function with this index.
    Call(u32),
    /// An indirect call, with the index of its type.
    Indirect(u32),
    /// Reads or writes a global.
    Global,
    /// Writes a local.
    Set,
    /// Ends a block or a loop.
    End,
    /// Creates a structure or an array of a type.
    Make(u32),
    /// Creates an array from this many operands.
    Fixed(u64),
}

/// What an instruction leads to.
#[derive(Clone, Copy)]
pub enum Met {
    /// The label of the block so many levels further out.
    Label(u32),
    /// A handler of exceptions with this tag.
    Tag(u32),
    /// A new reference that the garbage collector knows.
    Reference,
    /// The value of this global.
    Value(u32),
}

use Instruction::{
    Block, Branch, Call, End, Fill, Fixed, Global, Indirect, Loop, Make, Plain, Runtime, Set,
    Several, Throw, Try,
};

/// The next instruction; `met` gets what it leads to.
pub fn next(body: &mut Reader, met: &mut impl FnMut(Met)) -> Read<Instruction> {
    Ok(match body.byte()? {
        0x02 | 0x04 | 0x06 => Block(block_type(body, met)?),
        0x03 => Loop(block_type(body, met)?),
        0x0c | 0x0d | 0xd5 | 0xd6 | 0x09 | 0x18 => {
            met(Met::Label(body.u32()?));
            Branch(1)
        }
        0x08 => Throw(Some(body.u32()?)),
        0x0a => Throw(None),
        0x0e => Branch(table(body, met)?),
        0x0f => Branch(1),
        0x10 | 0x12 => Call(body.u32()?),
        0x11 | 0x13 => {
            let ty = body.u32()?;
            body.u32()?;
            Indirect(ty)
        }
        0x14 | 0x15 => Indirect(body.u32()?),
        0x1c => {
            for _ in 0..body.u32()? {
                typed(body, met)?;
            }
            Plain
        }
        0x1f => try_table(body, met)?,
        0x23 => {
            met(Met::Value(body.u32()?));
            Global
        }
        0x24 => number(body).map(|()| Global)?,
        0x21 | 0x22 => number(body).map(|()| Set)?,
        0x0b => End,
        0x25 => {
            met(Met::Reference);
            number(body).map(|()| Several(BARRIER))?
        }
        0x26 => number(body).map(|()| Several(BARRIER))?,
        0x40 => number(body).map(|()| Runtime)?,
        0xd2 => number(body).map(|()| Runtime)?,
        0x07 | 0x20 | 0x3f => number(body).map(|()| Plain)?,
        0x28..=0x3e => memory(body).map(|()| Plain)?,
        0x41 => body.i32().map(|_| Plain)?,
        0x42 => body.i64().map(|_| Plain)?,
        0x43 => body.skip(4).map(|()| Plain)?,
        0x44 => body.skip(8).map(|()| Plain)?,
        0xd0 => {
            met(Met::Reference);
            heap(body).map(|()| Plain)?
        }
        0x77 | 0x78 | 0x89 | 0x8a => Several(ROTATION),
        0x00 | 0x01 | 0x05 | 0x19..=0x1b | 0x45..=0xc4 | 0xd1 | 0xd3 | 0xd4 => Plain,
        0xfb => aggregate(body, met)?,
        0xfc => bulk(body)?,
        0xfd => vector(body)?,
        0xfe => atomic(body)?,
        _ => return body.malformed(),
    })
}

/// What wasmtime writes where an object or a table is read or written: checks, and what the collector must know.
const BARRIER: u64 = 10;

/// A rotation. Cranelift keeps other forms of those that follow one another (wasmtime 48, 750,000 of them: 3.7 GB).
const ROTATION: u64 = 6;

/// A comparison of types, with a call of the runtime where the quick one fails.
const CAST: u64 = 50;

/// The same with a branch (wasmtime 48, 18,655 of them in blocks of their own: 2.1 GB).
const CAST_BRANCH: u64 = 150;

fn number(body: &mut Reader) -> Read<()> {
    body.u32().map(|_| ())
}

fn numbers(body: &mut Reader) -> Read<()> {
    number(body)?;
    number(body)
}

/// The type of a value that an instruction makes.
fn typed(body: &mut Reader, met: &mut impl FnMut(Met)) -> Read<()> {
    if is_collected(body.peek()?) {
        met(Met::Reference);
    }
    value(body)
}

/// The index of a block's type, unless it is empty or a single value type.
fn block_type(body: &mut Reader, met: &mut impl FnMut(Met)) -> Read<Option<u32>> {
    match body.peek()? {
        0x40..=0x7f => typed(body, met).map(|()| None),
        _ => body.u32().map(Some),
    }
}

fn table(body: &mut Reader, met: &mut impl FnMut(Met)) -> Read<u64> {
    let targets = u64::from(body.u32()?).saturating_add(1);
    for _ in 0..targets {
        met(Met::Label(body.u32()?));
    }
    Ok(targets)
}

fn try_table(body: &mut Reader, met: &mut impl FnMut(Met)) -> Read<Instruction> {
    let ty = block_type(body, met)?;
    let catches = body.u32()?;
    for _ in 0..catches {
        if matches!(body.byte()?, 0 | 1) {
            met(Met::Tag(body.u32()?));
        }
        met(Met::Reference);
        met(Met::Label(body.u32()?));
    }
    Ok(Try(ty, catches.into()))
}

fn memory(body: &mut Reader) -> Read<()> {
    let alignment = body.u32()?;
    if alignment & 0x40 != 0 {
        body.u32()?;
    }
    body.u64().map(|_| ())
}

fn aggregate(body: &mut Reader, met: &mut impl FnMut(Met)) -> Read<Instruction> {
    let code = body.u32()?;
    Ok(match code {
        0 | 1 | 6 | 7 => Make(body.u32()?),
        8 => {
            body.u32()?;
            Fixed(body.u32()?.into())
        }
        9 | 10 => {
            let ty = body.u32()?;
            body.u32()?;
            Make(ty)
        }
        2 => {
            met(Met::Reference);
            numbers(body).map(|()| Several(BARRIER))?
        }
        3..=5 => numbers(body).map(|()| Several(BARRIER))?,
        11 => {
            met(Met::Reference);
            number(body).map(|()| Several(BARRIER))?
        }
        12..=14 => number(body).map(|()| Several(BARRIER))?,
        15 => Several(BARRIER),
        16 => number(body).map(|()| Fill)?,
        17..=19 => numbers(body).map(|()| Fill)?,
        20..=23 => heap(body).map(|()| Several(CAST))?,
        24 | 25 => {
            body.byte()?;
            met(Met::Label(body.u32()?));
            heap(body)?;
            heap(body)?;
            Several(CAST_BRANCH)
        }
        28 => {
            met(Met::Reference);
            Plain
        }
        26 | 27 | 29 | 30 => Plain,
        _ => return body.malformed(),
    })
}

fn bulk(body: &mut Reader) -> Read<Instruction> {
    Ok(match body.u32()? {
        0..=7 | 19..=22 => Plain,
        8 | 10 => numbers(body).map(|()| Runtime)?,
        9 | 11 | 13 | 15 => number(body).map(|()| Runtime)?,
        12 | 14 => numbers(body).map(|()| Fill)?,
        17 => number(body).map(|()| Fill)?,
        16 | 18 => number(body).map(|()| Plain)?,
        _ => return body.malformed(),
    })
}

fn vector(body: &mut Reader) -> Read<Instruction> {
    match body.u32()? {
        0..=11 | 92 | 93 => memory(body)?,
        12 | 13 => body.skip(16)?,
        21..=34 => body.skip(1)?,
        84..=91 => {
            memory(body)?;
            body.skip(1)?;
        }
        _ => {}
    }
    Ok(Plain)
}

fn atomic(body: &mut Reader) -> Read<Instruction> {
    match body.u32()? {
        0..=2 => memory(body).map(|()| Runtime),
        3 => body.skip(1).map(|()| Plain),
        _ => memory(body).map(|()| Plain),
    }
}
