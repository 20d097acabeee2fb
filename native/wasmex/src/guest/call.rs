//! The steps of the call that this process drives, as NIFs; see `Wasmex.Call`.

use crate::guest::cell::{self, StoreCell};
use crate::guest::drive::{self, Resume};
use crate::guest::handoff::Command;
use crate::vm::atoms;
use crate::vm::fast_nif::fast_nif;
use rustler::{Encoder, Env, NifResult, ResourceArc, Term};

#[rustler::nif]
fn call_poll<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>) -> Term<'a> {
    drive::resume(env, &cell, Resume::Poll)
}

fast_nif!(call_resume / 2);
fn call_resume<'a>(env: Env<'a>, [cell, results]: [Term<'a>; 2]) -> NifResult<Term<'a>> {
    let cell = cell.decode()?;
    let command = Command::Resume(results.as_c_arg());
    Ok(drive::resume(env, &cell, Resume::Import(command)))
}

#[rustler::nif]
fn call_raise<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>) -> Term<'a> {
    drive::resume(env, &cell, Resume::Import(Command::Raise))
}

/// `{owed, step}`: owed says that a wake-up message was sent which the caller has yet to receive.
#[rustler::nif]
fn call_cancel<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>) -> Term<'a> {
    // Of another's call there is nothing to forget.
    let owed = cell.driver() == Some(env.pid()) && cell.forget_wake();
    (owed, drive::resume(env, &cell, Resume::Cancel)).encode(env)
}

#[rustler::nif]
fn call_import_context<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>) -> Term<'a> {
    cell::import_context(env, &cell).unwrap_or_else(|| atoms::nil().encode(env))
}
