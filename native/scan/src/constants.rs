//! Constant expressions (core specification, section 3.4.13).

use crate::Limit;
use crate::module::Module;
use crate::reader::{Read, Reader};
use crate::tally::Tally;
use crate::types::heap;

/// Cost of creating a structure or an array, in other instructions.
const MAKE: u64 = 20;

/// The value of an expression that is a single constant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value {
    Number(u64),
    Function,
    Other,
}

/// Structures and arrays are compiled to one function. The analysis of what they alias takes a time that grows with the cube of
/// their number (wasmtime 48, 1,274 of them: 14 s), so each costs the square of its own, divided by this.
const SQUARE: u64 = 12_900;

/// Reads an expression to its end.
pub fn expression(reader: &mut Reader, tally: &mut Tally, module: &mut Module) -> Read<Value> {
    let first = instruction(reader, tally, module)?;
    let Some(value) = first else {
        return Ok(Value::Other);
    };
    let mut alone = true;
    while instruction(reader, tally, module)?.is_some() {
        alone = false;
    }
    Ok(if alone { value } else { Value::Other })
}

/// Reads one instruction; `None` at the end.
fn instruction(reader: &mut Reader, tally: &mut Tally, module: &mut Module) -> Read<Option<Value>> {
    let at = reader.at();
    let value = match reader.byte()? {
        0x0b => return Ok(None),
        0x41 => Value::Number(reader.i32()?.into()),
        0x42 => Value::Number(reader.i64()?),
        0x43 => other(reader.skip(4))?,
        0x44 => other(reader.skip(8))?,
        0x23 => other(reader.u32().map(|_| ()))?,
        0xd0 => other(heap(reader))?,
        0xd2 => {
            reader.u32()?;
            Value::Function
        }
        // Arithmetic of extended constant expressions.
        0x6a..=0x6c | 0x7c..=0x7e => Value::Other,
        0xfd => {
            reader.u32()?;
            other(reader.skip(16))?
        }
        0xfb => {
            module.made = module.made.saturating_add(1);
            let growth = module.made.saturating_mul(module.made) / SQUARE;
            let work = module.widest.saturating_add(MAKE).saturating_add(growth);
            tally.add(Limit::Constants, work, at)?;
            other(aggregate(reader))?
        }
        _ => return reader.malformed(),
    };
    if value == Value::Other {
        tally.add(Limit::Constants, 1, at)?;
    }
    Ok(Some(value))
}

fn other(read: Read<()>) -> Read<Value> {
    read.map(|()| Value::Other)
}

/// Instructions that create structures and arrays.
fn aggregate(reader: &mut Reader) -> Read<()> {
    match reader.u32()? {
        0 | 1 | 6 | 7 => reader.u32().map(|_| ()),
        8 => {
            reader.u32()?;
            reader.u32().map(|_| ())
        }
        26..=28 => Ok(()),
        _ => reader.malformed(),
    }
}
