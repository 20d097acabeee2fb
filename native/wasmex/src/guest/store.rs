//! Stores as Elixir sees them: made, given fuel, driven, closed.

use crate::core::engine::EngineResource;
use crate::guest::access;
use crate::guest::cell::{self, StoreCell, Via};
use crate::guest::data::{Limits, LimitsSpec, StoreData};
use crate::guest::drive::{self, Resume};
use crate::guest::handoff::Command;
use crate::observe::profiler;
use crate::observe::trace::SharedTrace;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::fast_nif::fast_nif;
use crate::vm::options::Options;
use crate::wasi::p1::WasiSpec;
use rustler::{Atom, Encoder, Env, NifResult, ResourceArc, Term};
use wasmtime::Store;

/// `wasi` is nil for a store without. `observe` may hold `:trace`, for instances of templates that are
/// traced, and `:profile`, for `store_start_profile`.
#[rustler::nif]
fn store_new<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    limits: LimitsSpec,
    wasi: Option<Options<'a>>,
    observe: Vec<Atom>,
) -> Term<'a> {
    make(env, engine, limits, wasi, &observe)
}

/// The same where directories are opened, which may touch the disk.
#[rustler::nif(schedule = "DirtyIo")]
fn store_new_with_dirs<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    limits: LimitsSpec,
    wasi: Option<Options<'a>>,
    observe: Vec<Atom>,
) -> Term<'a> {
    make(env, engine, limits, wasi, &observe)
}

fn make<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    limits: LimitsSpec,
    wasi: Option<Options<'a>>,
    observe: &[Atom],
) -> Term<'a> {
    let has_wasi = wasi.is_some();
    if has_wasi && crate::vm::runtime::get().is_none() {
        return Error::text(atoms::wasi(), "the system gives no thread for I/O").to_term(env);
    }
    let id = cell::next_id();
    let hostcall_fuel = limits.hostcall_fuel;
    let wasi = wasi.as_ref().map(WasiSpec::new).transpose();
    let made = wasi.and_then(|wasi| StoreData::new(id, Limits::new(limits), wasi));
    let mut data = match made {
        Ok(data) => data,
        Err(error) => return Error::text(atoms::wasi(), format!("{error:#}")).to_term(env),
    };
    if observe.contains(&atoms::trace()) {
        data.observed.trace = Some(SharedTrace::default());
    }
    let mut store = Store::new(&engine.engine, data);
    store.limiter(|data| &mut data.limits);
    if let Some(fuel) = hostcall_fuel {
        store.set_hostcall_fuel(usize::try_from(fuel).unwrap_or(usize::MAX));
    }
    if observe.contains(&atoms::profile()) {
        profiler::sample_at_ticks(&mut store);
    } else {
        store.epoch_deadline_async_yield_and_update(1);
    }
    let cell = StoreCell::new(id, store, engine, has_wasi);
    (atoms::ok(), ResourceArc::new(cell)).encode(env)
}

#[rustler::nif]
fn store_engine(cell: ResourceArc<StoreCell>) -> ResourceArc<EngineResource> {
    cell.engine.clone()
}

#[rustler::nif]
fn store_get_fuel<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>, via: Option<u64>) -> Term<'a> {
    let via = via.map_or(Via::Store, Via::Caller);
    let fuel = access::with(env, &cell, via, |cx| cx.get_fuel().map_err(no_fuel));
    answer(env, fuel)
}

#[rustler::nif]
fn store_set_fuel<'a>(
    env: Env<'a>,
    cell: ResourceArc<StoreCell>,
    fuel: u64,
    via: Option<u64>,
) -> Term<'a> {
    let via = via.map_or(Via::Store, Via::Caller);
    let set = access::with(env, &cell, via, |mut cx| {
        cx.set_fuel(fuel).map(|()| atoms::ok()).map_err(no_fuel)
    });
    answer(env, set)
}

fn no_fuel(error: wasmtime::Error) -> Error {
    Error::text(atoms::fuel_disabled(), error)
}

/// The most bytes that all memories of the store had together.
#[rustler::nif]
fn store_memory_peak<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>, via: Option<u64>) -> Term<'a> {
    let via = via.map_or(Via::Store, Via::Caller);
    let peak = access::with(env, &cell, via, |cx| Ok(cx.data().limits.memory_peak));
    answer(env, peak)
}

/// Collects the garbage of the guests in the store.
#[rustler::nif(schedule = "DirtyCpu")]
fn store_gc<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>, via: Option<u64>) -> Term<'a> {
    let via = via.map_or(Via::Store, Via::Caller);
    let done = access::with(env, &cell, via, |mut cx| {
        cx.gc(None).map(|()| atoms::ok()).map_err(Error::Guest)
    });
    answer(env, done)
}

#[rustler::nif]
fn store_close(env: Env, cell: ResourceArc<StoreCell>) -> rustler::Atom {
    cell::close(env, &cell);
    atoms::ok()
}

#[rustler::nif]
fn store_stop_waiting(env: Env, cell: ResourceArc<StoreCell>) -> rustler::Atom {
    cell::stop_waiting(env, &cell);
    atoms::ok()
}

/// The process that uses the store at this moment; nil when it is idle.
#[rustler::nif]
fn store_driver<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>) -> Term<'a> {
    cell.driver().encode(env)
}

// The steps of the call that this process drives; see `Wasmex.Call`.

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

pub fn answer<'a, T: Encoder>(
    env: Env<'a>,
    result: std::result::Result<Result<T>, Term<'a>>,
) -> Term<'a> {
    match result {
        Ok(Ok(value)) => (atoms::ok(), value).encode(env),
        Ok(Err(error)) => error.to_term(env),
        Err(term) => term,
    }
}
