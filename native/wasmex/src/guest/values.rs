//! Conversion between wasm values and Erlang terms.
//!
//! | wasm | Erlang |
//! |---|---|
//! | i32, i64 | integer, signed on the way out, signed or unsigned on the way in |
//! | f32, f64 | float (or integer on the way in), `:nan`, `:infinity`, `:neg_infinity` |
//! | v128 | unsigned integer |
//! | externref | any term, `nil` for null |
//! | funcref | a function resource, `nil` for null |
//! | other references | a reference resource, `{:i31, n}`, `nil` for null |

use crate::guest::data::StoreData;
use crate::guest::funcref;
use crate::guest::host_term::HostTerm;
use crate::guest::reference;
use crate::vm::atoms;
use crate::vm::error::{Error, Result, kind_of};
use crate::vm::host_error::host_error;
use crate::vm::layout;
use rustler::{Atom, Encoder, Env, Term, TermType};
use wasmtime::{
    AnyRef, AsContextMut, ExternRef, HeapType, I31, Ref, Rooted, StoreContextMut, Val, ValType,
};

/// How float results are returned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Floats {
    /// A float or an atom; every NaN is `:nan`.
    Values,
    /// `{:bits, n}`, exact.
    Bits,
}

/// Numbers that fit in a 64-bit slot.
#[derive(Clone, Copy)]
pub enum Number {
    I32,
    I64,
    F32,
    F64,
}

impl Number {
    /// The number type, if the type is one.
    pub fn of(ty: &ValType) -> Option<Self> {
        match ty {
            ValType::I32 => Some(Number::I32),
            ValType::I64 => Some(Number::I64),
            ValType::F32 => Some(Number::F32),
            ValType::F64 => Some(Number::F64),
            _ => None,
        }
    }

    /// The bits, in the low end of the slot; `None` when the term is not a number of this type.
    pub fn decode(self, term: Term) -> Option<i64> {
        match self {
            Number::I32 => decode_i32(term).map(i64::from),
            Number::I64 => decode_i64(term),
            Number::F32 => decode_f32(term).map(|value| i64::from(value.to_bits())),
            Number::F64 => decode_f64(term).map(|value| value.to_bits() as i64),
        }
    }

    /// The number in a slot as a term.
    pub fn encode<'a>(self, env: Env<'a>, raw: i64, floats: Floats) -> Term<'a> {
        if let Floats::Bits = floats {
            match self {
                Number::F32 => return (atoms::bits(), raw as u32).encode(env),
                Number::F64 => return (atoms::bits(), raw as u64).encode(env),
                Number::I32 | Number::I64 => {}
            }
        }
        match self {
            Number::I32 => layout::encode(env, i64::from(raw as i32)),
            Number::I64 => layout::encode(env, raw),
            Number::F32 => encode_float(env, f64::from(f32::from_bits(raw as u32))),
            Number::F64 => encode_float(env, f64::from_bits(raw as u64)),
        }
    }
}

fn decode_i32(term: Term) -> Option<i32> {
    let value = layout::small(term).or_else(|| term.decode().ok())?;
    if (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&value) {
        Some(value as i32)
    } else {
        None
    }
}

fn decode_i64(term: Term) -> Option<i64> {
    layout::small(term).or_else(|| {
        term.decode::<i64>()
            .or_else(|_| term.decode::<u64>().map(|value| value as i64))
            .ok()
    })
}

/// A float, an integer, or one of the special values.
pub fn decode_f64(term: Term) -> Option<f64> {
    // Tried first, as most are floats; it also takes integers.
    if let Ok(value) = term.decode::<f64>() {
        return Some(value);
    }
    match term.get_type() {
        TermType::Atom => special(term),
        TermType::Tuple => bits(term).map(f64::from_bits),
        _ => None,
    }
}

/// `{:bits, n}`
fn bits(term: Term) -> Option<u64> {
    let (tag, bits): (Atom, u64) = term.decode().ok()?;
    (tag == atoms::bits()).then_some(bits)
}

/// A finite number too large for an f32 is an error, not an infinity.
fn decode_f32(term: Term) -> Option<f32> {
    if term.is_tuple() {
        return u32::try_from(bits(term)?).ok().map(f32::from_bits);
    }
    let wide = decode_f64(term)?;
    let narrow = wide as f32;
    (narrow.is_finite() == wide.is_finite()).then_some(narrow)
}

fn special(term: Term) -> Option<f64> {
    let atom: Atom = term.decode().ok()?;
    match atom {
        a if a == atoms::nan() => Some(f64::NAN),
        a if a == atoms::infinity() => Some(f64::INFINITY),
        a if a == atoms::neg_infinity() => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// A float, or an atom for values that Erlang floats cannot represent.
pub fn encode_float(env: Env, value: f64) -> Term {
    if value.is_finite() {
        value.encode(env)
    } else if value.is_nan() {
        atoms::nan().encode(env)
    } else if value > 0.0 {
        atoms::infinity().encode(env)
    } else {
        atoms::neg_infinity().encode(env)
    }
}

host_error! {
    /// A term that is not a value of the type.
    pub struct Mismatch = value {
        /// Zero-based; `None` for a value that is not an argument (a global, a table element).
        position: Option<usize>,
        /// The type.
        expected: String,
        /// The kind of term, see [`kind_of`].
        got: Atom,
    }
}

host_error! {
    /// Wrong number of arguments.
    pub struct Arity = arity {
        /// Number of parameters.
        expected: usize,
        /// Number of arguments.
        got: usize,
    }
}

/// The error for a term that is not a value of this type.
pub fn mismatch(position: Option<usize>, ty: &ValType, term: Term) -> Error {
    Mismatch {
        position,
        expected: ty.to_string(),
        got: kind_of(term),
    }
    .into()
}

/// The same error, for the argument with this index.
pub fn at(mut error: Error, index: usize) -> Error {
    if let Some(mismatch) = error.as_host_mut::<Mismatch>() {
        mismatch.position = Some(index);
    }
    error
}

/// A term as a value of the type.
pub fn decode(mut cx: StoreContextMut<'_, StoreData>, term: Term, ty: &ValType) -> Result<Val> {
    let value = match ty {
        ValType::I32 => decode_i32(term).map(Val::I32),
        ValType::I64 => decode_i64(term).map(Val::I64),
        ValType::F32 => decode_f32(term).map(|value| Val::F32(value.to_bits())),
        ValType::F64 => decode_f64(term).map(|value| Val::F64(value.to_bits())),
        ValType::V128 => term
            .decode::<u128>()
            .ok()
            .map(|value| Val::V128(value.into())),
        ValType::Ref(reference) => {
            let decoded = decode_reference(cx.as_context_mut(), term, ty, reference.heap_type());
            return match decoded? {
                Decoded::Value(value) => Ok(value),
                Decoded::Term(unheld) => hold_now(cx, unheld),
            };
        }
    };
    value.ok_or_else(|| mismatch(None, ty, term))
}

/// A value, or a term that becomes one with [`hold`].
pub enum Decoded {
    Value(Val),
    Term(Unheld),
}

/// A term for the guest, of which it has no reference yet.
pub struct Unheld {
    term: HostTerm,
    /// Whether the guest takes it as an `anyref`.
    is_any: bool,
}

/// As [`decode`], without making objects: others may have to be collected first, which [`hold`] does in steps.
pub fn decode_unheld(
    cx: StoreContextMut<'_, StoreData>,
    term: Term,
    ty: &ValType,
) -> Result<Decoded> {
    match ty {
        ValType::Ref(reference) => decode_reference(cx, term, ty, reference.heap_type()),
        _ => decode(cx, term, ty).map(Decoded::Value),
    }
}

/// Makes the reference.
pub async fn hold(mut cx: StoreContextMut<'_, StoreData>, unheld: Unheld) -> Result<Val> {
    let Unheld { term, is_any } = unheld;
    if !term.fits(cx.data().limits.held()) {
        // Those that guests no longer refer to count until they are collected.
        cx.gc_async(None).await.map_err(Error::Guest)?;
        check_fits(&cx, &term)?;
    }
    let reference = ExternRef::new_async(&mut cx, term).await;
    as_value(cx, reference, is_any)
}

/// The same without steps.
fn hold_now(mut cx: StoreContextMut<'_, StoreData>, unheld: Unheld) -> Result<Val> {
    let Unheld { term, is_any } = unheld;
    if !term.fits(cx.data().limits.held()) {
        cx.gc(None).map_err(Error::Guest)?;
        check_fits(&cx, &term)?;
    }
    let reference = ExternRef::new(&mut cx, term);
    as_value(cx, reference, is_any)
}

fn check_fits(cx: &StoreContextMut<'_, StoreData>, term: &HostTerm) -> Result<()> {
    match term.fits(cx.data().limits.held()) {
        true => Ok(()),
        false => Err(HostTerm::too_many()),
    }
}

fn as_value(
    mut cx: StoreContextMut<'_, StoreData>,
    reference: wasmtime::Result<Rooted<ExternRef>>,
    is_any: bool,
) -> Result<Val> {
    let reference = reference.map_err(Error::Guest)?;
    if !is_any {
        return Ok(Val::ExternRef(Some(reference)));
    }
    let any = AnyRef::convert_extern(&mut cx, reference).map_err(Error::Guest)?;
    Ok(Val::AnyRef(Some(any)))
}

fn decode_reference(
    mut cx: StoreContextMut<'_, StoreData>,
    term: Term,
    ty: &ValType,
    heap: &HeapType,
) -> Result<Decoded> {
    let unheld = |host: Term, is_any| {
        let term = HostTerm::new(host)?;
        Ok(Decoded::Term(Unheld { term, is_any }))
    };
    let is_nil = term.is_atom() && term.decode::<Atom>().is_ok_and(|atom| atom == atoms::nil());
    let value = if is_nil {
        Val::null_top(&heap.top())
    } else if matches!(heap, HeapType::Extern) {
        return unheld(term, false);
    } else if matches!(heap.top(), HeapType::Func) {
        Val::FuncRef(Some(funcref::decode(&cx, term, ty)?))
    } else if let Ok((tag, host)) = term.decode::<(Atom, Term)>()
        && tag == atoms::extern_()
        && matches!(heap, HeapType::Any)
    {
        // A host term as an anyref, as `any.convert_extern` makes it.
        return unheld(host, true);
    } else if let Ok((tag, number)) = term.decode::<(Atom, i64)>() {
        let i31 = u32::try_from(number)
            .ok()
            .and_then(I31::new_u32)
            .or_else(|| i32::try_from(number).ok().and_then(I31::new_i32));
        match i31 {
            Some(i31) if tag == atoms::i31() => Val::AnyRef(Some(AnyRef::from_i31(&mut cx, i31))),
            _ => return Err(mismatch(None, ty, term)),
        }
    } else {
        reference::decode(&mut cx, term, ty)?
    };
    match value.matches_ty(&cx, ty) {
        Ok(true) => Ok(Decoded::Value(value)),
        _ => Err(mismatch(None, ty, term)),
    }
}

trait NullTop {
    fn null_top(top: &HeapType) -> Val;
}

impl NullTop for Val {
    fn null_top(top: &HeapType) -> Val {
        Ref::null(top).into()
    }
}

/// A value as a term.
pub fn encode<'a>(
    env: Env<'a>,
    mut cx: StoreContextMut<'_, StoreData>,
    value: &Val,
) -> Result<Term<'a>> {
    Ok(match value {
        Val::I32(value) => value.encode(env),
        Val::I64(value) => value.encode(env),
        Val::F32(bits) => encode_float(env, f64::from(f32::from_bits(*bits))),
        Val::F64(bits) => encode_float(env, f64::from_bits(*bits)),
        Val::V128(value) => value.as_u128().encode(env),
        Val::FuncRef(Some(func)) => funcref::encode(env, &cx, *func)?,
        Val::ExternRef(Some(reference)) => {
            let data = reference.data(&cx).map_err(Error::Guest)?;
            match data.and_then(|data| data.downcast_ref::<HostTerm>()) {
                Some(term) => term.get(env),
                None => reference::encode(env, &mut cx, value)?,
            }
        }
        Val::AnyRef(Some(any)) => match any.as_i31(&cx).map_err(Error::Guest)? {
            Some(i31) => (atoms::i31(), i31.get_i32()).encode(env),
            None => reference::encode(env, &mut cx, value)?,
        },
        Val::ExnRef(Some(_)) => reference::encode(env, &mut cx, value)?,
        _ => atoms::nil().encode(env),
    })
}

/// Values as a list of terms.
pub fn encode_list<'a>(
    env: Env<'a>,
    mut cx: StoreContextMut<'_, StoreData>,
    values: &[Val],
    floats: Floats,
) -> Result<Term<'a>> {
    let mut list = Term::list_new_empty(env);
    for value in values.iter().rev() {
        let term = match (floats, value) {
            (Floats::Bits, Val::F32(bits)) => (atoms::bits(), bits).encode(env),
            (Floats::Bits, Val::F64(bits)) => (atoms::bits(), bits).encode(env),
            _ => encode(env, cx.as_context_mut(), value)?,
        };
        list = list.list_prepend(term);
    }
    Ok(list)
}

/// The number of arguments.
pub fn count(params: Term) -> Result<usize> {
    params.list_length().map_err(|_| {
        let message = "the params are no proper list: its last tail is not []";
        Error::text(atoms::params(), message)
    })
}
