//! NIFs that drive the calling process's own call; see `Wasmex.Call`.

use crate::guest::cell::StoreCell;
use crate::guest::drive::{self, Resume};
use crate::guest::handoff::Command;
use crate::vm::atoms;
use crate::vm::fast_nif::fast_nif;
use crate::vm::resource::ResourceArc;
use rustler::{Encoder, Env, NifResult, Term};

#[rustler::nif]
fn call_poll<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>) -> Term<'a> {
    drive::resume(env, &cell, Resume::Poll)
}

fast_nif!(call_resume / 3);
/// Passes the results of the import with this serial to the guest.
fn call_resume<'a>(env: Env<'a>, [cell, serial, results]: [Term<'a>; 3]) -> NifResult<Term<'a>> {
    let (cell, serial) = (cell.decode()?, serial.decode()?);
    let command = Command::Resume(results.as_c_arg());
    Ok(drive::resume(env, &cell, Resume::Import(serial, command)))
}

/// The call has waited for long: its memory is given up as far as possible until the next poll.
#[rustler::nif]
fn call_rest(env: Env, cell: ResourceArc<StoreCell>) -> rustler::Atom {
    cell.rest(env.pid());
    atoms::ok()
}

/// The import with this serial failed.
#[rustler::nif]
fn call_raise<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>, serial: u64) -> Term<'a> {
    drive::resume(env, &cell, Resume::Import(serial, Command::Raise))
}

/// `{owed, step}`: owed says that a wake-up message was sent that the caller has not received yet.
#[rustler::nif]
fn call_cancel<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>) -> Term<'a> {
    // A wake-up for another process's call is not for this one to discard.
    let owed = cell.driver() == Some(env.pid()) && cell.forget_wake();
    (owed, drive::resume(env, &cell, Resume::Cancel)).encode(env)
}
