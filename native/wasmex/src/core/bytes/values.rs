//! Arguments and results of calls with bytes, as wasm values.

use crate::core::bytes::Returns;
use crate::core::bytes::copy::Block;
use crate::guest::data::StoreData;
use crate::guest::signature::Signature;
use crate::guest::values::{self, Arity};
use crate::vm::atoms;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::term_box::TermBox;
use rustler::Encoder;
use rustler::sys::ErlNifTerm;
use wasmtime::{StoreContextMut, Val, ValType};

/// An argument as a value of the parameter's type.
pub fn value(
    cx: StoreContextMut<'_, StoreData>,
    term: ErlNifTerm,
    ty: &ValType,
    index: usize,
) -> Result<Val> {
    env::in_env(|env| {
        // SAFETY: the term came with the NIF that is now polling for the first time.
        let term = unsafe { env::term(env, term) };
        values::decode(cx, term, ty).map_err(|error| values::at(error, index))
    })
    .unwrap_or(Err(Error::Cancelled))
}

/// The argument for a reference, which may be any term: exactly as passed.
pub fn tagged(
    cx: StoreContextMut<'_, StoreData>,
    bytes: &TermBox,
    ty: &ValType,
    index: usize,
) -> Result<Val> {
    env::in_env(|env| {
        let term = (atoms::bytes(), bytes.get(env)).encode(env);
        values::decode(cx, term, ty).map_err(|error| values::at(error, index))
    })
    .unwrap_or(Err(Error::Cancelled))
}

/// A pointer or a length as a parameter of this type.
pub fn number(value: u64, ty: &ValType, index: usize) -> Result<Val> {
    match ty {
        ValType::I32 => Ok(Val::I32(value as u32 as i32)),
        ValType::I64 => Ok(Val::I64(value as i64)),
        other => Err(Error::text(
            atoms::params(),
            format!(
                "argument #{} is bytes, which are passed as pointer and length; this parameter is of type {other}",
                index + 1
            ),
        )),
    }
}

/// The parameters of an allocator or deallocator.
pub fn call_params(signature: &Signature, values: &[u64]) -> Result<Vec<Val>> {
    let types = signature.ty.params();
    if values.len() != types.len() {
        let (expected, got) = (types.len(), values.len());
        return Err(Arity { expected, got }.into());
    }
    let typed = values.iter().zip(types).enumerate();
    typed
        .map(|(index, (value, ty))| number(*value, &ty, index))
        .collect()
}

/// Calls an allocator or deallocator; its result as an unsigned number.
pub async fn call_numbers(
    mut cx: StoreContextMut<'_, StoreData>,
    signature: &Signature,
    params: Vec<Val>,
) -> Result<Option<u64>> {
    let mut results = vec![Val::I32(0); signature.ty.results().len()];
    signature
        .func
        .call_async(&mut cx, &params, &mut results)
        .await
        .map_err(Error::Guest)?;
    Ok(results.first().and_then(unsigned))
}

fn unsigned(value: &Val) -> Option<u64> {
    match value {
        Val::I32(value) => Some(u64::from(*value as u32)),
        Val::I64(value) => Some(*value as u64),
        _ => None,
    }
}

/// The guest's allocator returned null.
pub fn no_memory(name: &str, size: u64) -> Error {
    Error::text(
        atoms::guest(),
        format!("the guest's {name}({size}) gave no memory"),
    )
}

/// Whether results of these types can refer to bytes.
pub fn returned_form(signature: &Signature, returns: Returns) -> Result<()> {
    let integer = |ty: &ValType| matches!(ty, ValType::I32 | ValType::I64);
    let results: Vec<ValType> = signature.ty.results().collect();
    match &*results {
        [ValType::I64] => Ok(()),
        [ValType::I32] if returns == Returns::Text => Ok(()),
        [pointer, length] if integer(pointer) && integer(length) => Ok(()),
        other => {
            let types: Vec<String> = other.iter().map(ToString::to_string).collect();
            Err(Error::text(
                atoms::params(),
                format!(
                    "`returns:` needs a function that returns a pointer and a length, as two integers or as one i64 with \
                     the pointer in its high half, or the pointer of a text that ends with a NUL; this one returns ({})",
                    types.join(", ")
                ),
            ))
        }
    }
}

/// The bytes that the results refer to.
pub fn returned(results: &[Val]) -> Option<Block> {
    match results {
        [Val::I64(packed)] => {
            let packed = *packed as u64;
            Some(Block {
                pointer: packed >> 32,
                size: packed & 0xFFFF_FFFF,
            })
        }
        [pointer, size] => Some(Block {
            pointer: unsigned(pointer)?,
            size: unsigned(size)?,
        }),
        _ => None,
    }
}
