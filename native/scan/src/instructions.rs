//! Instructions of functions, one at a time (core specification, section 5.4).

use crate::reader::{Read, Reader};
use crate::types::{heap, value};

/// An instruction, reduced to its cost for the compiler.
pub enum Instruction {
    /// A cheap instruction.
    Plain,
    /// A block, with the index of its type if it has one.
    Block(Option<u32>),
    /// A loop.
    Loop(Option<u32>),
    /// A branch with this many targets.
    Branch(u64),
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

use Instruction::{Block, Branch, Call, End, Fixed, Global, Indirect, Loop, Make, Plain, Set};

/// The next instruction.
pub fn next(body: &mut Reader) -> Read<Instruction> {
    Ok(match body.byte()? {
        0x02 | 0x04 | 0x06 => Block(block_type(body)?),
        0x03 => Loop(block_type(body)?),
        0x0c | 0x0d | 0x08 | 0x09 | 0x18 | 0xd5 | 0xd6 => {
            body.u32()?;
            Branch(1)
        }
        0x0e => Branch(table(body)?),
        0x0f | 0x0a => Branch(1),
        0x10 | 0x12 => Call(body.u32()?),
        0x11 | 0x13 => {
            let ty = body.u32()?;
            body.u32()?;
            Indirect(ty)
        }
        0x14 | 0x15 => Indirect(body.u32()?),
        0x1c => plain_of(body, |body| {
            for _ in 0..body.u32()? {
                value(body)?;
            }
            Ok(())
        })?,
        0x1f => try_table(body)?,
        0x23 | 0x24 => number(body).map(|()| Global)?,
        0x21 | 0x22 => number(body).map(|()| Set)?,
        0x0b => End,
        0x07 | 0x20 | 0x25 | 0x26 | 0x3f | 0x40 | 0xd2 => plain_of(body, number)?,
        0x28..=0x3e => plain_of(body, memory)?,
        0x41 => plain_of(body, |body| body.i32().map(|_| ()))?,
        0x42 => plain_of(body, |body| body.i64().map(|_| ()))?,
        0x43 => plain_of(body, |body| body.skip(4))?,
        0x44 => plain_of(body, |body| body.skip(8))?,
        0xd0 => plain_of(body, heap)?,
        0x00 | 0x01 | 0x05 | 0x19..=0x1b | 0x45..=0xc4 | 0xd1 | 0xd3 | 0xd4 => Plain,
        0xfb => aggregate(body)?,
        0xfc => plain_of(body, bulk)?,
        0xfd => plain_of(body, vector)?,
        0xfe => plain_of(body, atomic)?,
        _ => return body.malformed(),
    })
}

fn plain_of(body: &mut Reader, immediates: fn(&mut Reader) -> Read<()>) -> Read<Instruction> {
    immediates(body).map(|()| Plain)
}

fn number(body: &mut Reader) -> Read<()> {
    body.u32().map(|_| ())
}

fn numbers(body: &mut Reader) -> Read<()> {
    number(body)?;
    number(body)
}

/// The index of a block's type, unless it is empty or a single value type.
fn block_type(body: &mut Reader) -> Read<Option<u32>> {
    match body.peek()? {
        0x40..=0x7f => value(body).map(|()| None),
        _ => body.u32().map(Some),
    }
}

fn table(body: &mut Reader) -> Read<u64> {
    let targets = u64::from(body.u32()?).saturating_add(1);
    for _ in 0..targets {
        body.u32()?;
    }
    Ok(targets)
}

fn try_table(body: &mut Reader) -> Read<Instruction> {
    let ty = block_type(body)?;
    for _ in 0..body.u32()? {
        match body.byte()? {
            0 | 1 => numbers(body)?,
            _ => number(body)?,
        }
    }
    Ok(Block(ty))
}

fn memory(body: &mut Reader) -> Read<()> {
    let alignment = body.u32()?;
    if alignment & 0x40 != 0 {
        body.u32()?;
    }
    body.u64().map(|_| ())
}

fn aggregate(body: &mut Reader) -> Read<Instruction> {
    let code = body.u32()?;
    match code {
        0 | 1 | 6 | 7 => return Ok(Make(body.u32()?)),
        8 => {
            body.u32()?;
            return Ok(Fixed(body.u32()?.into()));
        }
        9 | 10 => {
            let ty = body.u32()?;
            body.u32()?;
            return Ok(Make(ty));
        }
        2..=5 | 17..=19 => numbers(body)?,
        11..=14 | 16 => number(body)?,
        20..=23 => heap(body)?,
        24 | 25 => {
            body.byte()?;
            body.u32()?;
            heap(body)?;
            heap(body)?;
            return Ok(Branch(1));
        }
        15 | 26..=30 => {}
        _ => return body.malformed(),
    }
    Ok(Plain)
}

fn bulk(body: &mut Reader) -> Read<()> {
    match body.u32()? {
        0..=7 | 19..=22 => Ok(()),
        8 | 10 | 12 | 14 => numbers(body),
        9 | 11 | 13 | 15..=18 => number(body),
        _ => body.malformed(),
    }
}

fn vector(body: &mut Reader) -> Read<()> {
    match body.u32()? {
        0..=11 | 92 | 93 => memory(body),
        12 | 13 => body.skip(16),
        21..=34 => body.skip(1),
        84..=91 => {
            memory(body)?;
            body.skip(1)
        }
        _ => Ok(()),
    }
}

fn atomic(body: &mut Reader) -> Read<()> {
    match body.u32()? {
        3 => body.skip(1),
        _ => memory(body),
    }
}
