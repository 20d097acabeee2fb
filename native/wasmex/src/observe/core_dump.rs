//! Core dumps: the state of a guest at its trap, when the engine was told to keep it.

use crate::guest::access;
use crate::guest::cell::{StoreCell, Via};
use crate::guest::data::StoreData;
use crate::vm::atoms;
use crate::vm::terms::binary;
use rustler::{Encoder, Env, NifResult, ResourceArc, Term};
use wasmtime::{StoreContextMut, WasmCoreDump};

/// Written at once: the guest may go on in this store and change what was there.
pub fn keep(cx: &mut StoreContextMut<'_, StoreData>, error: &wasmtime::Error) {
    if let Some(dump) = error.downcast_ref::<WasmCoreDump>() {
        let bytes = dump.serialize(&mut *cx, "wasmex");
        cx.data_mut().observed.core_dump = Some(bytes);
    }
}

/// `{:ok, binary | nil}`: that of the last trap, which is forgotten.
#[rustler::nif(schedule = "DirtyCpu")]
fn store_take_core_dump<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>) -> NifResult<Term<'a>> {
    let dump = access::with(env, &cell, Via::Store, |mut cx| {
        cx.data_mut().observed.core_dump.take()
    });
    Ok(match dump {
        Ok(Some(bytes)) => (atoms::ok(), binary(env, &bytes)).encode(env),
        Ok(None) => (atoms::ok(), atoms::nil()).encode(env),
        Err(term) => term,
    })
}
