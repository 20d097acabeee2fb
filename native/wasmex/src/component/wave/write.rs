//! Terms, as `Wasmex.Components.Instance.call/4` takes and returns them, to wasm-wave's values.

use super::Result;
use super::types::{Shape, Ty};
use crate::vm::atoms;
use rustler::{Atom, Binary, MapIterator, Term};
use wasm_wave::value::Value;
use wasm_wave::wasm::{WasmType, WasmTypeKind, WasmValue, WasmValueError};

/// The WAVE value of a term.
pub(super) fn value(term: Term, ty: &Ty) -> Result<Value> {
    match &ty.shape {
        Shape::Simple | Shape::Integer(..) => {
            simple(term, ty.wave.kind()).ok_or_else(|| expected(ty))
        }
        Shape::List(element, length) => list(term, ty, element, *length),
        Shape::Map(types) => map(term, ty, types),
        Shape::Record(fields) => record(term, ty, fields),
        Shape::Tuple(types) => {
            let terms = rustler::types::tuple::get_tuple(term).map_err(|_| expected(ty))?;
            if terms.len() != types.len() {
                return Err(expected(ty));
            }
            let values = terms.into_iter().zip(types).enumerate();
            let values: Vec<Value> = values
                .map(|(index, (term, ty))| at(value(term, ty), || format!("element {index}")))
                .collect::<Result<_>>()?;
            Value::make_tuple(&ty.wave, values).map_err(problem)
        }
        Shape::Variant(cases) => variant(term, ty, cases),
        Shape::Enum => {
            let name = name(term).ok_or_else(|| expected(ty))?;
            Value::make_enum(&ty.wave, &name).map_err(problem)
        }
        Shape::Option(some) => match tagged(term) {
            Some((tag, None)) if tag == atoms::none() => {
                Value::make_option(&ty.wave, None).map_err(problem)
            }
            Some((tag, Some(payload))) if tag == atoms::some() => {
                let payload = value(payload, some)?;
                Value::make_option(&ty.wave, Some(payload)).map_err(problem)
            }
            _ => Err(expected(ty)),
        },
        Shape::Result(ok, error) => outcome(term, ty, ok.as_deref(), error.as_deref()),
        Shape::Flags => flags(term, ty),
    }
}

fn expected(ty: &Ty) -> String {
    format!("expected {ty}")
}

fn problem(error: WasmValueError) -> String {
    error.to_string()
}

/// Adds the position of the error in the value.
fn at<T>(result: Result<T>, place: impl FnOnce() -> String) -> Result<T> {
    result.map_err(|text| format!("{}, {text}", place()))
}

fn simple(term: Term, kind: WasmTypeKind) -> Option<Value> {
    Some(match kind {
        WasmTypeKind::Bool => Value::make_bool(term.decode().ok()?),
        WasmTypeKind::S8 => Value::make_s8(term.decode().ok()?),
        WasmTypeKind::S16 => Value::make_s16(term.decode().ok()?),
        WasmTypeKind::S32 => Value::make_s32(term.decode().ok()?),
        WasmTypeKind::S64 => Value::make_s64(term.decode().ok()?),
        WasmTypeKind::U8 => Value::make_u8(term.decode().ok()?),
        WasmTypeKind::U16 => Value::make_u16(term.decode().ok()?),
        WasmTypeKind::U32 => Value::make_u32(term.decode().ok()?),
        WasmTypeKind::U64 => Value::make_u64(term.decode().ok()?),
        WasmTypeKind::F32 => Value::make_f32(float(term)? as f32),
        WasmTypeKind::F64 => Value::make_f64(float(term)?),
        WasmTypeKind::Char => Value::make_char(character(term)?),
        WasmTypeKind::String => Value::make_string(term.decode::<&str>().ok()?.into()),
        _ => return None,
    })
}

fn float(term: Term) -> Option<f64> {
    if let Ok(number) = term.decode::<f64>() {
        return Some(number);
    }
    if let Ok(number) = term.decode::<i64>() {
        return Some(number as f64);
    }
    let atom = term.decode::<Atom>().ok()?;
    match atom {
        atom if atom == atoms::nan() => Some(f64::NAN),
        atom if atom == atoms::infinity() => Some(f64::INFINITY),
        atom if atom == atoms::neg_infinity() => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn character(term: Term) -> Option<char> {
    if let Ok(code) = term.decode::<u32>() {
        return char::from_u32(code);
    }
    let mut chars = term.decode::<&str>().ok()?.chars();
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// A string, or an atom with underscores in place of dashes.
fn name(term: Term) -> Option<String> {
    if let Ok(name) = term.decode::<String>() {
        return Some(name);
    }
    let name = term.atom_to_string().ok()?;
    Some(name.replace('_', "-"))
}

/// `:tag` or `{:tag, payload}`
fn tagged<'a>(term: Term<'a>) -> Option<(Atom, Option<Term<'a>>)> {
    if let Ok(tag) = term.decode::<Atom>() {
        return Some((tag, None));
    }
    let (tag, payload) = term.decode::<(Atom, Term)>().ok()?;
    Some((tag, Some(payload)))
}

fn list(term: Term, ty: &Ty, element: &Ty, length: Option<u32>) -> Result<Value> {
    let values: Vec<Value> = match term.decode::<Binary>() {
        Ok(bytes) if element.wave.kind() == WasmTypeKind::U8 => {
            bytes.iter().map(|byte| Value::make_u8(*byte)).collect()
        }
        _ => {
            let terms: Vec<Term> = term.decode().map_err(|_| expected(ty))?;
            let terms = terms.into_iter().enumerate();
            terms
                .map(|(index, term)| at(value(term, element), || format!("item {index}")))
                .collect::<Result<_>>()?
        }
    };
    if length.is_some_and(|length| length as usize != values.len()) {
        return Err(format!("expected {ty} of another length"));
    }
    Value::make_list(&ty.wave, values).map_err(problem)
}

fn map(term: Term, ty: &Ty, types: &(Ty, Ty)) -> Result<Value> {
    let entries = MapIterator::new(term).ok_or_else(|| expected(ty))?;
    let entry_type = ty.wave.list_element_type().ok_or_else(|| expected(ty))?;
    let mut values = Vec::new();
    for (key, entry) in entries {
        let pair = [value(key, &types.0)?, value(entry, &types.1)?];
        values.push(Value::make_tuple(&entry_type, pair).map_err(problem)?);
    }
    Value::make_list(&ty.wave, values).map_err(problem)
}

fn record(term: Term, ty: &Ty, fields: &[(String, Ty)]) -> Result<Value> {
    let mut left: Vec<(String, Term)> = Vec::new();
    for (key, term) in MapIterator::new(term).ok_or_else(|| expected(ty))? {
        let name = name(key).ok_or_else(|| expected(ty))?;
        left.push((name, term));
    }
    let mut values = Vec::new();
    for (name, ty) in fields {
        let found = left.iter().find(|(key, _)| key == name);
        let (_, term) = found.ok_or_else(|| format!("the field {name:?} is missing"))?;
        let value = at(value(*term, ty), || format!("field {name:?}"))?;
        values.push((name.as_str(), value));
    }
    Value::make_record(&ty.wave, values).map_err(problem)
}

fn variant(term: Term, ty: &Ty, cases: &[(String, Option<Ty>)]) -> Result<Value> {
    let (case, payload) = match term.decode::<(Term, Term)>() {
        Ok((case, payload)) => (case, Some(payload)),
        Err(_) => (term, None),
    };
    let case = name(case).ok_or_else(|| expected(ty))?;
    let case_type = cases.iter().find(|(name, _)| *name == case);
    let payload = match (payload, case_type) {
        (Some(payload), Some((_, Some(ty)))) => {
            Some(at(value(payload, ty), || format!("case {case:?}"))?)
        }
        (Some(_), _) => return Err(expected(ty)),
        (None, _) => None,
    };
    Value::make_variant(&ty.wave, &case, payload).map_err(problem)
}

fn outcome(term: Term, ty: &Ty, ok: Option<&Ty>, error: Option<&Ty>) -> Result<Value> {
    let (tag, payload) = tagged(term).ok_or_else(|| expected(ty))?;
    let payload_type = if tag == atoms::ok() {
        ok
    } else if tag == atoms::error() {
        error
    } else {
        return Err(expected(ty));
    };
    let payload = match (payload, payload_type) {
        (Some(payload), Some(ty)) => Some(value(payload, ty)?),
        (None, None) => None,
        _ => return Err(expected(ty)),
    };
    let result = if tag == atoms::ok() {
        Ok(payload)
    } else {
        Err(payload)
    };
    Value::make_result(&ty.wave, result).map_err(problem)
}

fn flags(term: Term, ty: &Ty) -> Result<Value> {
    let mut set = Vec::new();
    if let Some(entries) = MapIterator::new(term) {
        for (key, on) in entries {
            if on.decode::<bool>().map_err(|_| expected(ty))? {
                set.push(name(key).ok_or_else(|| expected(ty))?);
            }
        }
    } else {
        let names: Vec<Term> = term.decode().map_err(|_| expected(ty))?;
        for term in names {
            set.push(name(term).ok_or_else(|| expected(ty))?);
        }
    }
    Value::make_flags(&ty.wave, set.iter().map(String::as_str)).map_err(problem)
}
