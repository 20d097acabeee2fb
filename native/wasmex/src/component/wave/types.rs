//! Types as `Wasmex.Components.Component.exports/1` describes them, converted to wasm-wave's.

use super::Result;
use crate::vm::atoms;
use rustler::{Atom, Term};
use std::fmt;
use wasm_wave::value::Type;

/// The component model's limit of nesting.
const MAX_DEPTH: usize = 100;

/// A type and its parts. WAVE has no maps and writes them as lists of pairs.
pub(super) struct Ty {
    pub wave: Type,
    pub shape: Shape,
}

/// The structure of a type.
pub(super) enum Shape {
    Simple,
    /// An integer of core WebAssembly, which has no sign: its name and its number of bits.
    Integer(&'static str, u32),
    List(Box<Ty>, Option<u32>),
    Map(Box<(Ty, Ty)>),
    Record(Vec<(String, Ty)>),
    Tuple(Vec<Ty>),
    Variant(Vec<(String, Option<Ty>)>),
    Enum,
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
    Flags,
}

impl Ty {
    /// Decodes a type from its term.
    pub(super) fn decode(term: Term) -> Result<Self> {
        decode(term, 0)
    }

    /// Whether it is an `option`.
    pub(super) fn is_option(&self) -> bool {
        matches!(self.shape, Shape::Option(_))
    }

    fn simple(wave: Type) -> Self {
        let shape = Shape::Simple;
        Ty { wave, shape }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Integer(name, _) => f.write_str(name),
            _ => self.wave.fmt(f),
        }
    }
}

fn decode(term: Term, depth: usize) -> Result<Ty> {
    if depth > MAX_DEPTH {
        return Err(format!("a type nested more than {MAX_DEPTH} levels deep"));
    }
    if let Ok(atom) = term.decode::<Atom>() {
        return match integer(atom) {
            Some(ty) if depth == 0 => Ok(ty),
            _ => named(atom).map(Ty::simple),
        };
    }
    compound(term, depth + 1)?.ok_or_else(|| "a type without a text form".to_string())
}

fn integer(atom: Atom) -> Option<Ty> {
    let types = [
        (atoms::i32(), "i32", 32),
        (atoms::i64(), "i64", 64),
        (atoms::v128(), "v128", 128),
    ];
    let (_, name, bits) = types.into_iter().find(|(ty, _, _)| *ty == atom)?;
    let (wave, shape) = (Type::U64, Shape::Integer(name, bits));
    Some(Ty { wave, shape })
}

fn named(atom: Atom) -> Result<Type> {
    let types = [
        (atoms::bool_(), Type::BOOL),
        (atoms::s8(), Type::S8),
        (atoms::u8_(), Type::U8),
        (atoms::s16(), Type::S16),
        (atoms::u16_(), Type::U16),
        (atoms::s32(), Type::S32),
        (atoms::u32_(), Type::U32),
        (atoms::s64(), Type::S64),
        (atoms::u64_(), Type::U64),
        (atoms::f32(), Type::F32),
        (atoms::f64(), Type::F64),
        (atoms::char_(), Type::CHAR),
        (atoms::string(), Type::STRING),
    ];
    if let Some((_, ty)) = types.into_iter().find(|(name, _)| *name == atom) {
        return Ok(ty);
    }
    Err(if atom == atoms::own() || atom == atoms::borrow() {
        "a resource has no text form".to_string()
    } else {
        "a type without a text form".to_string()
    })
}

fn compound(term: Term, depth: usize) -> Result<Option<Ty>> {
    if let Ok((kind, second)) = term.decode::<(Atom, Term)>() {
        return pair(kind, second, depth);
    }
    let Ok((kind, second, third)) = term.decode::<(Atom, Term, Term)>() else {
        return Ok(None);
    };
    if kind == atoms::list() {
        let Ok(length) = third.decode::<u32>() else {
            return Ok(None);
        };
        return list(second, Some(length), depth).map(Some);
    }
    if kind == atoms::map() {
        let (key, value) = (decode(second, depth)?, decode(third, depth)?);
        let pair = Type::tuple(vec![key.wave.clone(), value.wave.clone()]);
        return Ok(pair.map(|pair| Ty {
            wave: Type::list(pair),
            shape: Shape::Map(Box::new((key, value))),
        }));
    }
    if kind == atoms::result() {
        let (ok, error) = (maybe(second, depth)?, maybe(third, depth)?);
        let wave = |ty: &Option<Ty>| ty.as_ref().map(|ty| ty.wave.clone());
        return Ok(Some(Ty {
            wave: Type::result(wave(&ok), wave(&error)),
            shape: Shape::Result(ok.map(Box::new), error.map(Box::new)),
        }));
    }
    Ok(None)
}

fn pair(kind: Atom, second: Term, depth: usize) -> Result<Option<Ty>> {
    Ok(match kind {
        kind if kind == atoms::list() => Some(list(second, None, depth)?),
        kind if kind == atoms::option() => {
            let some = decode(second, depth)?;
            Some(Ty {
                wave: Type::option(some.wave.clone()),
                shape: Shape::Option(Box::new(some)),
            })
        }
        kind if kind == atoms::record() => record(fields(second)?, depth)?,
        kind if kind == atoms::variant() => variant(fields(second)?, depth)?,
        kind if kind == atoms::tuple() => {
            let types: Vec<Term> = second.decode().map_err(unknown)?;
            let types = types.into_iter().map(|ty| decode(ty, depth));
            let types: Vec<Ty> = types.collect::<Result<_>>()?;
            let waves: Vec<Type> = types.iter().map(|ty| ty.wave.clone()).collect();
            Type::tuple(waves).map(|wave| Ty {
                wave,
                shape: Shape::Tuple(types),
            })
        }
        kind if kind == atoms::enum_() => Type::enum_ty(names(second)?).map(|wave| Ty {
            wave,
            shape: Shape::Enum,
        }),
        kind if kind == atoms::flags() => Type::flags(names(second)?).map(|wave| Ty {
            wave,
            shape: Shape::Flags,
        }),
        _ => None,
    })
}

fn unknown(_: rustler::Error) -> String {
    "not a type".to_string()
}

fn names(term: Term) -> Result<Vec<String>> {
    term.decode().map_err(unknown)
}

fn fields(term: Term) -> Result<Vec<(String, Term)>> {
    term.decode().map_err(unknown)
}

fn maybe(term: Term, depth: usize) -> Result<Option<Ty>> {
    if term.decode::<Atom>().is_ok_and(|atom| atom == atoms::nil()) {
        return Ok(None);
    }
    decode(term, depth).map(Some)
}

fn list(element: Term, length: Option<u32>, depth: usize) -> Result<Ty> {
    let element = decode(element, depth)?;
    Ok(Ty {
        wave: Type::list(element.wave.clone()),
        shape: Shape::List(Box::new(element), length),
    })
}

fn record(fields: Vec<(String, Term)>, depth: usize) -> Result<Option<Ty>> {
    let fields: Vec<(String, Ty)> = fields
        .into_iter()
        .map(|(name, ty)| Ok((name, decode(ty, depth)?)))
        .collect::<Result<_>>()?;
    let waves = fields
        .iter()
        .map(|(name, ty)| (name.as_str(), ty.wave.clone()));
    Ok(Type::record(waves).map(|wave| Ty {
        wave,
        shape: Shape::Record(fields),
    }))
}

fn variant(cases: Vec<(String, Term)>, depth: usize) -> Result<Option<Ty>> {
    let cases: Vec<(String, Option<Ty>)> = cases
        .into_iter()
        .map(|(name, ty)| Ok((name, maybe(ty, depth)?)))
        .collect::<Result<_>>()?;
    let waves = cases
        .iter()
        .map(|(name, ty)| (name.as_str(), ty.as_ref().map(|ty| ty.wave.clone())));
    Ok(Type::variant(waves).map(|wave| Ty {
        wave,
        shape: Shape::Variant(cases),
    }))
}
