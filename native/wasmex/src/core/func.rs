//! Functions of a store, called without their instance.

use crate::core::types;
use crate::guest::cell::StoreCell;
use crate::guest::drive;
use crate::guest::funcref::FuncResource;
use crate::guest::job::Job;
use crate::guest::values::Floats;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::error::Error;
use crate::vm::resource::ResourceArc;
use rustler::{Encoder, Env, NifResult, Term};

/// Begins a call. With `bits`, floats are returned as bits.
#[rustler::nif]
fn func_call<'a>(
    env: Env<'a>,
    func: ResourceArc<FuncResource>,
    params: Term<'a>,
    bits: bool,
    fuel: Option<u64>,
) -> Term<'a> {
    let floats = if bits { Floats::Bits } else { Floats::Values };
    match func.signature.args(params) {
        Ok(args) => {
            let job = Job::call(func.signature.clone(), args, floats, fuel);
            drive::begin(env, &func.cell, Via::Store, job)
        }
        Err(Error::Large) => {
            let args = [func.encode(env), params, bits.encode(env), fuel.encode(env)];
            dirty::again(env, c"func_call", &args)
        }
        Err(error) => error.to_term(env),
    }
}

#[rustler::nif]
fn func_type<'a>(env: Env<'a>, func: ResourceArc<FuncResource>) -> NifResult<Term<'a>> {
    Ok(types::func(env, atoms::fn_(), &func.signature.ty))
}

#[rustler::nif]
fn func_store(func: ResourceArc<FuncResource>) -> ResourceArc<StoreCell> {
    func.cell.clone()
}
