//! Values that are one core value each, and need no memory: numbers, booleans and characters.
//!
//! Calls with only such values convert them here, without the layout of the values in memory in between.

use crate::component::internal::InterfaceType;
use crate::component::types::numbers::Number;
use crate::vm::heap_binary;
use rustler::{Encoder, Env, Term};
use wasmtime::{Error, Result};

/// The type of such values.
#[derive(Clone, Copy)]
pub enum Scalar {
    /// A boolean.
    Bool,
    /// A number.
    Number(Number),
    /// A Unicode scalar value.
    Char,
}

impl Scalar {
    /// `None` for other types.
    pub fn of(ty: InterfaceType) -> Option<Self> {
        Some(match ty {
            InterfaceType::Bool => Scalar::Bool,
            InterfaceType::S8 => Scalar::Number(Number::S8),
            InterfaceType::U8 => Scalar::Number(Number::U8),
            InterfaceType::S16 => Scalar::Number(Number::S16),
            InterfaceType::U16 => Scalar::Number(Number::U16),
            InterfaceType::S32 => Scalar::Number(Number::S32),
            InterfaceType::U32 => Scalar::Number(Number::U32),
            InterfaceType::S64 => Scalar::Number(Number::S64),
            InterfaceType::U64 => Scalar::Number(Number::U64),
            InterfaceType::Float32 => Scalar::Number(Number::F32),
            InterfaceType::Float64 => Scalar::Number(Number::F64),
            InterfaceType::Char => Scalar::Char,
            _ => return None,
        })
    }

    /// The core value of a term; `None` if it has none, or in a less frequent form: the general conversion decides, and
    /// makes the error.
    #[inline]
    pub fn decode(self, term: Term, lenient: bool) -> Option<u64> {
        match self {
            Scalar::Bool => term.decode::<bool>().ok().map(u64::from),
            Scalar::Number(number) => match number.small(term) {
                None => decode_other(number, term, lenient),
                value => value,
            },
            Scalar::Char => None,
        }
    }

    /// The term of a core value, which comes from a guest: bits that the type does not have count for nothing.
    #[inline]
    pub fn encode<'a>(self, env: Env<'a>, value: u64) -> Result<Term<'a>> {
        match self {
            // Any number but zero is true.
            Scalar::Bool => Ok((value as u32 != 0).encode(env)),
            Scalar::Number(number) => Ok(number.encode_bits(env, value)),
            Scalar::Char => character(env, value as u32),
        }
    }
}

/// Of a float or a large integer.
#[inline(never)]
fn decode_other(number: Number, term: Term, lenient: bool) -> Option<u64> {
    let bits = number.decode(term, lenient).ok()?;
    Some(match number.size() {
        8 => bits,
        _ => u64::from(number.extend(bits)),
    })
}

/// A character as a string.
pub fn character<'a>(env: Env<'a>, code: u32) -> Result<Term<'a>> {
    let character = char::from_u32(code)
        .ok_or_else(|| Error::msg(format!("{code:#x} is not a Unicode scalar value")))?;
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).as_bytes();
    Ok(heap_binary::make(env, bytes))
}
