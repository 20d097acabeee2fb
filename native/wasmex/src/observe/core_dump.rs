//! Core dumps: the state of a guest at its trap, for engines with core dumps enabled.
//!
//! A dump contains all memories, so a job that ends in a trap writes it in a poll on a dirty scheduler, see
//! [`Extension::is_long`].

use crate::guest::access;
use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::extension::Extension;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::resource::ResourceArc;
use crate::vm::terms::binary;
use rustler::{Encoder, Env, NifResult, Term};
use wasmtime::{StoreContextMut, WasmCoreDump};

/// The dump of the last trap in a store.
struct Kept(Vec<u8>);

/// Keeps the core dump of a trap, if the engine makes one.
pub struct CoreDumps;

impl Extension for CoreDumps {
    fn is_long(&self, error: &wasmtime::Error) -> bool {
        error.downcast_ref::<WasmCoreDump>().is_some()
    }

    /// Serialised before the job ends: the guest may run again in this store and change its state.
    fn failed(&self, cx: &mut StoreContextMut<'_, StoreData>, error: &wasmtime::Error) {
        let Some(dump) = error.downcast_ref::<WasmCoreDump>() else {
            return;
        };
        // That of an earlier trap would be mistaken for this one's.
        cx.data_mut().slots.take::<Kept>();
        let sizes = dump.memories().iter().map(|memory| memory.data_size(&cx));
        let size = sizes.fold(0, usize::saturating_add) as u64;
        if size <= cx.data().traps.core_dump_size {
            let bytes = dump.serialize(&mut *cx, "wasmex");
            cx.data_mut().slots.insert::<Kept>(Kept(bytes));
        }
    }
}

/// `{:ok, binary | nil}`: the dump of the last trap, which is then discarded.
#[rustler::nif(schedule = "DirtyCpu")]
fn core_dump_take<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>) -> NifResult<Term<'a>> {
    let dump = access::with(env, &cell, Via::Store, |mut cx| {
        cx.data_mut().slots.take::<Kept>()
    });
    Ok(match dump {
        Ok(Some(kept)) => (atoms::ok(), binary(env, &kept.0)).encode(env),
        Ok(None) => (atoms::ok(), atoms::nil()).encode(env),
        Err(term) => term,
    })
}
