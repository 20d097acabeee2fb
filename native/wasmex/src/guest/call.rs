//! NIFs that drive the calling process's own call; see `Wasmex.Call`.

use crate::guest::cell::StoreCell;
use crate::guest::drive::{self, Resume};
use crate::guest::host_term;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::fast_nif::fast_nif;
use crate::vm::layout;
use crate::vm::resource::{Argument, ResourceArc};
use rustler::{Encoder, Env, NifResult, Term};

fast_nif!(call_poll / 1);
fn call_poll<'a>(env: Env<'a>, [handle]: [Term<'a>; 1]) -> NifResult<Term<'a>> {
    let cell: Argument<StoreCell> = handle.decode()?;
    if cell.long.must_move() {
        return Ok(dirty::again(env, c"call_poll", &[handle]));
    }
    Ok(drive::resume(env, &cell, Resume::Poll))
}

fast_nif!(call_resume / 3);
/// Passes the results of the import with this serial to the guest.
fn call_resume<'a>(env: Env<'a>, args: [Term<'a>; 3]) -> NifResult<Term<'a>> {
    let [cell, serial, results] = args;
    let cell: Argument<StoreCell> = cell.decode()?;
    let serial = match layout::small_in(serial.as_c_arg(), 0..=i64::MAX) {
        Some(serial) => serial as u64,
        None => serial.decode()?,
    };
    if cell.long.must_move() {
        return Ok(dirty::again(env, c"call_resume", &args));
    }
    let results = Resume::Results(serial, results);
    Ok(drive::resume(env, &cell, results))
}

/// The call has waited for long: its memory is given up as far as possible until the next poll.
#[rustler::nif]
fn call_rest(env: Env, cell: ResourceArc<StoreCell>) -> rustler::Atom {
    cell.rest(env.pid());
    atoms::ok()
}

fast_nif!(call_raise / 2);
/// The import with this serial failed.
fn call_raise<'a>(env: Env<'a>, args: [Term<'a>; 2]) -> NifResult<Term<'a>> {
    let [cell, serial] = args;
    let (cell, serial): (Argument<StoreCell>, u64) = (cell.decode()?, serial.decode()?);
    if cell.long.must_move() {
        return Ok(dirty::again(env, c"call_raise", &args));
    }
    Ok(drive::resume(env, &cell, Resume::Raise(serial)))
}

/// `{owed, step}`: owed says that a wake-up message was sent that the caller has not received yet.
#[rustler::nif]
fn call_cancel<'a>(env: Env<'a>, handle: Term<'a>) -> NifResult<Term<'a>> {
    let cell: ResourceArc<StoreCell> = handle.decode()?;
    if (cell.long.stays() || cell.is_slow_to_end(env.pid())) && dirty::is_normal() {
        return Ok(dirty::again(env, c"call_cancel", &[handle]));
    }
    // A wake-up for another process's call is not for this one to discard.
    let owed = cell.driver() == Some(env.pid()) && cell.forget_wake();
    let step = drive::cancel(env, &cell);
    Ok(host_term::finish(env, (owed, step).encode(env)))
}
