//! A function of a store as a value: called, passed to a guest, put into a table.

use crate::core::types;
use crate::guest::cell::{StoreCell, Via};
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::handoff;
use crate::guest::job::{Job, Task};
use crate::guest::signature::Signature;
use crate::guest::values;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::live::{Kind, Live};
use crate::vm::terms;
use rustler::{Env, NifResult, Resource, ResourceArc, Term};
use std::sync::Arc;
use wasmtime::{Func, StoreContextMut, ValType};

pub struct FuncResource {
    pub cell: ResourceArc<StoreCell>,
    pub signature: Arc<Signature>,
    _live: Live,
}

impl Resource for FuncResource {}
impl std::panic::RefUnwindSafe for FuncResource {}

impl FuncResource {
    pub fn new(cell: ResourceArc<StoreCell>, signature: Arc<Signature>) -> ResourceArc<Self> {
        ResourceArc::new(FuncResource {
            cell,
            signature,
            _live: Live::new(Kind::Func),
        })
    }
}

#[rustler::nif]
fn func_call<'a>(
    env: Env<'a>,
    func: ResourceArc<FuncResource>,
    params: Term<'a>,
    fuel: Option<u64>,
) -> Term<'a> {
    match func.signature.args(params) {
        Ok(args) => {
            let task = Task::Call {
                signature: func.signature.clone(),
                args,
                floats: crate::guest::values::Floats::Values,
            };
            drive::begin(env, &func.cell, Via::Store, Job::new(task, fuel))
        }
        Err(error) => error.to_term(env),
    }
}

#[rustler::nif]
fn func_type<'a>(env: Env<'a>, func: ResourceArc<FuncResource>) -> NifResult<Term<'a>> {
    Ok(types::func(env, atoms::fn_(), &func.signature.ty))
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

pub fn decode(cx: &StoreContextMut<'_, StoreData>, term: Term, ty: &ValType) -> Result<Func> {
    let resource =
        terms::resource::<FuncResource>(term).ok_or_else(|| values::mismatch(None, ty, term))?;
    if resource.cell.id != cx.data().id {
        return Err(Error::ForeignStore(atoms::func()));
    }
    Ok(resource.signature.func)
}

#[rustler::nif]
fn func_store(func: ResourceArc<FuncResource>) -> ResourceArc<StoreCell> {
    func.cell.clone()
}
