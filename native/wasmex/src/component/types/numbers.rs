//! Integers and floats between terms and little-endian bytes.

use crate::guest::values;
use crate::vm::atoms;
use crate::vm::layout;
use rustler::sys::ErlNifTerm;
use rustler::{Atom, Encoder, Env, Term, TermType};
use std::ops::RangeInclusive;

/// The numbers of the component model.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Number {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
}

/// Why a term cannot be converted to a number type.
pub enum NoNumber {
    /// Wrong type of term.
    Kind,
    /// Out of the type's range.
    Range,
}

impl Number {
    /// The name in WIT.
    pub fn name(self) -> &'static str {
        match self {
            Number::S8 => "s8",
            Number::U8 => "u8",
            Number::S16 => "s16",
            Number::U16 => "u16",
            Number::S32 => "s32",
            Number::U32 => "u32",
            Number::S64 => "s64",
            Number::U64 => "u64",
            Number::F32 => "f32",
            Number::F64 => "f64",
        }
    }

    /// The same as an atom.
    pub fn atom(self) -> Atom {
        match self {
            Number::S8 => atoms::s8(),
            Number::U8 => atoms::u8_(),
            Number::S16 => atoms::s16(),
            Number::U16 => atoms::u16_(),
            Number::S32 => atoms::s32(),
            Number::U32 => atoms::u32_(),
            Number::S64 => atoms::s64(),
            Number::U64 => atoms::u64_(),
            Number::F32 => atoms::f32(),
            Number::F64 => atoms::f64(),
        }
    }

    /// Size in bytes.
    pub fn size(self) -> usize {
        match self {
            Number::S8 | Number::U8 => 1,
            Number::S16 | Number::U16 => 2,
            Number::S32 | Number::U32 | Number::F32 => 4,
            Number::S64 | Number::U64 | Number::F64 => 8,
        }
    }

    /// The bits, in the low end. `lenient`: only floats become floats, as in Wasmex 0.15.
    pub fn decode(self, term: Term, lenient: bool) -> Result<u64, NoNumber> {
        match self {
            Number::F32 | Number::F64 => self.decode_float(term, lenient),
            Number::U64 => term.decode::<u64>().map_err(|_| not_integer(term)),
            _ => {
                let value = match layout::small(term) {
                    Some(value) => value,
                    None => term.decode().map_err(|_| not_integer(term))?,
                };
                if self.range().contains(&value) {
                    Ok(value as u64)
                } else {
                    Err(NoNumber::Range)
                }
            }
        }
    }

    /// The range of this integer type, within signed 64-bit integers.
    #[inline]
    pub fn range(self) -> RangeInclusive<i64> {
        match self {
            Number::S8 => i64::from(i8::MIN)..=i64::from(i8::MAX),
            Number::U8 => 0..=i64::from(u8::MAX),
            Number::S16 => i64::from(i16::MIN)..=i64::from(i16::MAX),
            Number::U16 => 0..=i64::from(u16::MAX),
            Number::S32 => i64::from(i32::MIN)..=i64::from(i32::MAX),
            Number::U32 => 0..=i64::from(u32::MAX),
            Number::U64 => 0..=i64::MAX,
            _ => i64::MIN..=i64::MAX,
        }
    }

    /// The core value of a small integer in this type's range; `None` for other terms, and for floats.
    #[inline]
    pub fn small(self, term: Term) -> Option<u64> {
        let value = layout::small(term)?;
        let (least, most) = match self {
            Number::S8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
            Number::U8 => (0, i64::from(u8::MAX)),
            Number::S16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
            Number::U16 => (0, i64::from(u16::MAX)),
            Number::S32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Number::U32 => (0, i64::from(u32::MAX)),
            Number::S64 => return Some(value as u64),
            Number::U64 if value >= 0 => return Some(value as u64),
            _ => return None,
        };
        (least <= value && value <= most).then_some(u64::from(value as u32))
    }

    /// The numbers in these bytes as terms.
    pub fn encode_list(self, env: Env, bytes: &[u8]) -> Vec<ErlNifTerm> {
        if !layout::is_used() {
            return self.encode_each(env, bytes);
        }
        match self {
            Number::S8 => small::<1>(bytes, |b| i64::from(i8::from_le_bytes(b))),
            Number::U8 => small::<1>(bytes, |b| i64::from(b[0])),
            Number::S16 => small::<2>(bytes, |b| i64::from(i16::from_le_bytes(b))),
            Number::U16 => small::<2>(bytes, |b| i64::from(u16::from_le_bytes(b))),
            Number::S32 => small::<4>(bytes, |b| i64::from(i32::from_le_bytes(b))),
            Number::U32 => small::<4>(bytes, |b| i64::from(u32::from_le_bytes(b))),
            _ => self.encode_each(env, bytes),
        }
    }

    fn encode_each(self, env: Env, bytes: &[u8]) -> Vec<ErlNifTerm> {
        bytes
            .chunks_exact(self.size())
            .map(|bytes| self.encode(env, bytes).as_c_arg())
            .collect()
    }

    fn decode_float(self, term: Term, lenient: bool) -> Result<u64, NoNumber> {
        if lenient && term.get_type() == TermType::Integer {
            return Err(NoNumber::Kind);
        }
        let wide = values::decode_f64(term).ok_or(NoNumber::Kind)?;
        if self == Number::F64 {
            return Ok(wide.to_bits());
        }
        let narrow = wide as f32;
        if narrow.is_finite() != wide.is_finite() {
            return Err(NoNumber::Range);
        }
        Ok(u64::from(narrow.to_bits()))
    }

    /// The bits of a narrow number as an i32 on the stack.
    pub fn extend(self, bits: u64) -> u32 {
        match self {
            Number::S8 => i32::from(bits as i8) as u32,
            Number::S16 => i32::from(bits as i16) as u32,
            _ => bits as u32,
        }
    }

    /// The number in these bytes as a term.
    #[inline]
    pub fn encode<'a>(self, env: Env<'a>, bytes: &[u8]) -> Term<'a> {
        self.encode_bits(env, read(bytes, self.size()))
    }

    /// The number in the low bits as a term.
    #[inline]
    pub fn encode_bits<'a>(self, env: Env<'a>, bits: u64) -> Term<'a> {
        let value = match self {
            Number::S8 => i64::from(bits as i8),
            Number::S16 => i64::from(bits as i16),
            Number::S32 => i64::from(bits as i32),
            Number::U8 => i64::from(bits as u8),
            Number::U16 => i64::from(bits as u16),
            Number::U32 => i64::from(bits as u32),
            Number::S64 => bits as i64,
            Number::U64 => return bits.encode(env),
            Number::F32 => {
                return values::encode_float(env, f64::from(f32::from_bits(bits as u32)));
            }
            Number::F64 => return values::encode_float(env, f64::from_bits(bits)),
        };
        layout::encode(env, value)
    }
}

fn small<const SIZE: usize>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> i64) -> Vec<ErlNifTerm> {
    let numbers = bytes.as_chunks::<SIZE>().0.iter();
    numbers
        .map(|bytes| layout::integer(value(*bytes)))
        .collect()
}

fn not_integer(term: Term) -> NoNumber {
    match term.get_type() {
        TermType::Integer => NoNumber::Range,
        _ => NoNumber::Kind,
    }
}

/// Up to eight bytes, little-endian.
#[inline]
pub fn read(bytes: &[u8], size: usize) -> u64 {
    match (size, bytes) {
        (1, [a, ..]) => u64::from(*a),
        (2, [a, b, ..]) => u64::from(u16::from_le_bytes([*a, *b])),
        (4, [a, b, c, d, ..]) => u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => {
            let mut wide = [0; 8];
            wide[..size].copy_from_slice(&bytes[..size]);
            u64::from_le_bytes(wide)
        }
    }
}

/// Writes the low `size` bytes, least significant first.
#[inline]
pub fn write(bytes: &mut [u8], value: u64, size: usize) {
    match size {
        1 => bytes[0] = value as u8,
        2 => bytes[..2].copy_from_slice(&(value as u16).to_le_bytes()),
        4 => bytes[..4].copy_from_slice(&(value as u32).to_le_bytes()),
        8 => bytes[..8].copy_from_slice(&value.to_le_bytes()),
        _ => bytes[..size].copy_from_slice(&value.to_le_bytes()[..size]),
    }
}

/// False in Elixir's sense: `nil` and `false`.
pub fn truthy(term: Term) -> bool {
    !term
        .decode::<Atom>()
        .is_ok_and(|atom| atom == atoms::nil() || atom == atoms::false_())
}
