//! A function of a store as a value: the Elixir side of a funcref.

use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::foreign;
use crate::guest::handoff;
use crate::guest::signature::Signature;
use crate::guest::values;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};
use crate::vm::terms;
use rustler::{Env, Term};
use std::sync::Arc;
use wasmtime::{Func, StoreContextMut, ValType};

/// A function, ready to be called.
pub struct FuncResource {
    /// Its store.
    pub cell: ResourceArc<StoreCell>,
    /// The function and its types.
    pub signature: Arc<Signature>,
    _live: Live,
}

named_resource!(FuncResource, "function");
impl std::panic::RefUnwindSafe for FuncResource {}

impl FuncResource {
    /// A handle of this function.
    pub fn new(cell: ResourceArc<StoreCell>, signature: Arc<Signature>) -> ResourceArc<Self> {
        ResourceArc::new(FuncResource {
            cell,
            signature,
            _live: Live::new(Kind::Func),
        })
    }
}

/// `%Wasmex.Func{}`
pub fn encode<'a>(
    env: Env<'a>,
    cx: &StoreContextMut<'_, StoreData>,
    func: Func,
) -> Result<Term<'a>> {
    let cell = handoff::current_cell().ok_or(Error::Cancelled)?;
    let signature = Arc::new(Signature::new(cx, func));
    Ok(terms::handle(
        env,
        atoms::wasmex_func(),
        FuncResource::new(cell, signature),
    ))
}

/// The function in a `%Wasmex.Func{}`, which must belong to this store.
pub fn decode(cx: &StoreContextMut<'_, StoreData>, term: Term, ty: &ValType) -> Result<Func> {
    let kind = atoms::func();
    let mismatch = || values::mismatch(None, ty, term);
    let resource = terms::resource::<FuncResource>(term)
        .ok_or_else(|| foreign::of_node(kind, term).unwrap_or_else(mismatch))?;
    foreign::check(cx, kind, resource.cell.id)?;
    Ok(resource.signature.func)
}
