//! Parsed text to terms, the same as `Wasmex.Components.Instance.call/4` returns.

use super::types::{Shape, Ty};
use super::{Result, text};
use crate::vm::atoms;
use rustler::{Encoder, Env, NewBinary, Term};
use wasm_wave::ast::Node;
use wasm_wave::value::Value;
use wasm_wave::wasm::{WasmType, WasmTypeKind, WasmValue};

/// The term for a parsed value.
pub(super) fn value<'a>(env: Env<'a>, node: &Node, source: &str, ty: &Ty) -> Result<Term<'a>> {
    if let Shape::Integer(_, bits) = ty.shape {
        let digits = source.get(node.span()).unwrap_or_default();
        return integer(env, digits, bits).ok_or_else(|| format!("expected {ty}"));
    }
    let value = node.to_wasm_value(&ty.wave, source);
    let value: Value = value.map_err(|error| format!("expected {ty}: {}", text(error)))?;
    term(env, &value, ty)
}

/// Signed or unsigned, of that many bits; v128 is unsigned.
fn integer<'a>(env: Env<'a>, digits: &str, bits: u32) -> Option<Term<'a>> {
    if bits == 128 {
        return digits.parse::<u128>().ok().map(|number| number.encode(env));
    }
    let number: i128 = digits.parse().ok()?;
    let range = -(1 << (bits - 1))..1 << bits;
    range.contains(&number).then(|| number.encode(env))
}

fn term<'a>(env: Env<'a>, value: &Value, ty: &Ty) -> Result<Term<'a>> {
    Ok(match &ty.shape {
        Shape::Simple | Shape::Integer(..) => simple(env, value),
        Shape::List(element, length) => return list(env, value, element, *length),
        Shape::Map(types) => return map(env, value, types),
        Shape::Record(fields) => {
            let mut pairs = Vec::new();
            for ((name, value), (_, ty)) in value.unwrap_record().zip(fields) {
                pairs.push((name.encode(env), term(env, &value, ty)?));
            }
            from_pairs(env, &pairs)?
        }
        Shape::Tuple(types) => {
            let mut terms = Vec::new();
            for (value, ty) in value.unwrap_tuple().zip(types) {
                terms.push(term(env, &value, ty)?);
            }
            rustler::types::tuple::make_tuple(env, &terms)
        }
        Shape::Variant(cases) => {
            let (name, payload) = value.unwrap_variant();
            let ty = cases.iter().find(|(case, _)| *case == name);
            match (payload, ty) {
                (Some(payload), Some((_, Some(ty)))) => {
                    (&*name, term(env, &payload, ty)?).encode(env)
                }
                _ => name.encode(env),
            }
        }
        Shape::Enum => value.unwrap_enum().encode(env),
        Shape::Option(some) => match value.unwrap_option() {
            Some(value) => (atoms::some(), term(env, &value, some)?).encode(env),
            None => atoms::none().encode(env),
        },
        Shape::Result(ok, error) => {
            let (name, payload, ty) = match value.unwrap_result() {
                Ok(payload) => (atoms::ok(), payload, ok),
                Err(payload) => (atoms::error(), payload, error),
            };
            match (payload, ty) {
                (Some(payload), Some(ty)) => (name, term(env, &payload, ty)?).encode(env),
                _ => name.encode(env),
            }
        }
        Shape::Flags => {
            let set: Vec<(Term, Term)> = value
                .unwrap_flags()
                .map(|name| (name.encode(env), true.encode(env)))
                .collect();
            from_pairs(env, &set)?
        }
    })
}

fn from_pairs<'a>(env: Env<'a>, pairs: &[(Term<'a>, Term<'a>)]) -> Result<Term<'a>> {
    Term::map_from_pairs(env, pairs).map_err(|_| "a key that comes twice".to_string())
}

fn simple<'a>(env: Env<'a>, value: &Value) -> Term<'a> {
    match value.kind() {
        WasmTypeKind::Bool => value.unwrap_bool().encode(env),
        WasmTypeKind::S8 => value.unwrap_s8().encode(env),
        WasmTypeKind::S16 => value.unwrap_s16().encode(env),
        WasmTypeKind::S32 => value.unwrap_s32().encode(env),
        WasmTypeKind::S64 => value.unwrap_s64().encode(env),
        WasmTypeKind::U8 => value.unwrap_u8().encode(env),
        WasmTypeKind::U16 => value.unwrap_u16().encode(env),
        WasmTypeKind::U32 => value.unwrap_u32().encode(env),
        WasmTypeKind::U64 => value.unwrap_u64().encode(env),
        WasmTypeKind::F32 => float(env, f64::from(value.unwrap_f32())),
        WasmTypeKind::F64 => float(env, value.unwrap_f64()),
        WasmTypeKind::Char => value.unwrap_char().to_string().encode(env),
        WasmTypeKind::String => value.unwrap_string().encode(env),
        _ => atoms::nil().encode(env),
    }
}

/// The BEAM has no infinities and no NaN.
fn float<'a>(env: Env<'a>, value: f64) -> Term<'a> {
    if value.is_nan() {
        atoms::nan().encode(env)
    } else if value == f64::INFINITY {
        atoms::infinity().encode(env)
    } else if value == f64::NEG_INFINITY {
        atoms::neg_infinity().encode(env)
    } else {
        value.encode(env)
    }
}

fn list<'a>(env: Env<'a>, value: &Value, element: &Ty, length: Option<u32>) -> Result<Term<'a>> {
    let values: Vec<_> = value.unwrap_list().collect();
    if let Some(length) = length
        && values.len() != length as usize
    {
        return Err(format!("expected {length} elements, got {}", values.len()));
    }
    if element.wave.kind() == WasmTypeKind::U8 && length.is_none() {
        let mut binary = NewBinary::new(env, values.len());
        for (byte, value) in binary.as_mut_slice().iter_mut().zip(&values) {
            *byte = value.unwrap_u8();
        }
        return Ok(binary.into());
    }
    let terms = values.iter().map(|value| term(env, value, element));
    let terms: Vec<Term> = terms.collect::<Result<_>>()?;
    Ok(terms.encode(env))
}

fn map<'a>(env: Env<'a>, value: &Value, types: &(Ty, Ty)) -> Result<Term<'a>> {
    let mut pairs = Vec::new();
    for entry in value.unwrap_list() {
        let mut entry = entry.unwrap_tuple();
        if let (Some(key), Some(value)) = (entry.next(), entry.next()) {
            pairs.push((term(env, &key, &types.0)?, term(env, &value, &types.1)?));
        }
    }
    from_pairs(env, &pairs)
}
