//! Stores: creating, fuelling and closing them.

use crate::core::engine::EngineResource;
use crate::guest::access;
use crate::guest::cell::{self, StoreCell};
use crate::guest::data::{Limits, LimitsSpec, StoreData};
use crate::guest::extension::{self, NewStore};
use crate::guest::slice;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::error::{Error, Result};
use crate::vm::fast_nif::{self, fast_nif};
use crate::vm::options::Options;
use crate::vm::resource::{Argument, ResourceArc};
use crate::vm::runtime;
use crate::vm::slots::{Shared, SharedSlots};
use crate::wasi::context::{self, Context};
use crate::wasi::http::options::OutgoingTerm;
use crate::wasi::p1::WasiSpec;
use rustler::{Encoder, Env, NifResult, Term};
use wasmtime::Store;

fast_nif!(store_new / 4);
/// `limits` is nil for the default limits, `wasi` for a store without WASI. `extensions` names what to attach, as atoms or
/// `{atom, term}`: `:trace` for instances of traced templates, `:profile` for `profile_start`.
fn store_new<'a>(env: Env<'a>, args: [Term<'a>; 4]) -> NifResult<Term<'a>> {
    let [engine, limits, wasi, extensions] = args;
    let extensions = match extensions.is_empty_list() {
        true => Vec::new(),
        false => extensions.decode()?,
    };
    let (limits, wasi) = (
        fast_nif::or_nil(limits)?,
        fast_nif::or_nil::<Options>(wasi)?,
    );
    if dirty::is_normal() && wasi.as_ref().is_some_and(WasiSpec::is_slow) {
        return Ok(dirty::again(env, c"store_new", &args));
    }
    Ok(made(env, new(engine.decode()?, limits, wasi, extensions)))
}

/// The same if directories are opened, which may access the disk.
#[rustler::nif(schedule = "DirtyIo")]
fn store_new_with_dirs<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    limits: Option<LimitsSpec>,
    wasi: Option<Options<'a>>,
    extensions: Vec<Term<'a>>,
) -> Term<'a> {
    made(env, new(engine, limits, wasi, extensions))
}

fn made(env: Env, cell: Result<ResourceArc<StoreCell>>) -> Term {
    match cell {
        Ok(cell) => (atoms::ok(), cell).encode(env),
        Err(error) => error.to_term(env),
    }
}

/// The data that a component may pass to a function of WASI in one call, if there is no other limit. wasmtime converts it
/// at once: 1 MiB, the most that a stream accepts, and a little more.
const WASI_FUEL: usize = (1 << 20) + (1 << 16);

/// Output to a pipe without a capacity that is always allowed, in bytes.
const BUFFERED: u64 = 1 << 20;

fn new(
    engine: ResourceArc<EngineResource>,
    limits: Option<LimitsSpec>,
    wasi: Option<Options>,
    asked: Vec<Term>,
) -> Result<ResourceArc<StoreCell>> {
    let limits = limits.unwrap_or_default();
    let reactor = wasi.is_some();
    if reactor && runtime::get().is_none() {
        return Err(Error::text(
            atoms::wasi(),
            "the operating system refused a thread for I/O",
        ));
    }
    let outgoing = match &wasi {
        Some(options) => options.get_or_default::<Option<OutgoingTerm>>("http"),
        None => Ok(None),
    };
    let wasi = wasi
        .as_ref()
        .map(|options| WasiSpec::new(options, limits.others().max(BUFFERED)))
        .transpose();
    let is_large = wasi
        .as_ref()
        .is_ok_and(|wasi| wasi.as_ref().is_some_and(WasiSpec::is_large));
    let fuel = limits.hostcall_fuel;
    let fuel = fuel.map(|fuel| usize::try_from(fuel).unwrap_or(usize::MAX));
    let mut context = wasi.and_then(Context::new).map_err(of_wasi)?;
    context.fuel = fuel.unwrap_or(context::FUEL);
    let mut data = StoreData::new(cell::next_id(), Limits::new(limits, engine.cost), context);
    data.traps = engine.traps;
    if is_large {
        data.limits.held().options_are_large();
    }
    let mut store = Store::new(&engine.engine, data);
    store.limiter(|data| &mut data.limits);
    store.set_hostcall_fuel(fuel.unwrap_or(WASI_FUEL));
    slice::yield_at_ticks(&mut store, |_| {});
    let ticks = engine.ticks.clone();
    let mut new = NewStore {
        store,
        shared: SharedSlots::default(),
        traced: false,
        reactor,
        asked,
    };
    if let Some(OutgoingTerm(outgoing)) = outgoing.map_err(of_wasi)? {
        new.share(outgoing);
    }
    new.shared.insert::<MadeWith>(MadeWith(engine));
    for extension in extension::all() {
        extension.attach(&mut new)?;
    }
    Ok(StoreCell::new(new, ticks))
}

fn of_wasi(error: wasmtime::Error) -> Error {
    Error::text(atoms::wasi(), format!("{error:#}"))
}

/// The engine of a store.
struct MadeWith(ResourceArc<EngineResource>);

impl Shared for MadeWith {}

#[rustler::nif]
fn store_engine(cell: ResourceArc<StoreCell>) -> Option<ResourceArc<EngineResource>> {
    cell.slots.get::<MadeWith>().map(|made| made.0.clone())
}

#[rustler::nif]
fn store_get_fuel<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>, via: Via) -> Term<'a> {
    access::reply(env, &cell, via, |cx| cx.get_fuel().map_err(no_fuel))
}

#[rustler::nif]
fn store_set_fuel<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>, fuel: u64, via: Via) -> Term<'a> {
    access::reply(env, &cell, via, |mut cx| {
        cx.set_fuel(fuel).map(|()| atoms::ok()).map_err(no_fuel)
    })
}

fn no_fuel(error: wasmtime::Error) -> Error {
    Error::text(atoms::fuel_disabled(), error)
}

/// The peak size of all memories of the store together, in bytes.
#[rustler::nif]
fn store_memory_peak<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>, via: Via) -> Term<'a> {
    access::reply(env, &cell, via, |cx| Ok(cx.data().limits.memory_peak))
}

/// Collects the garbage of the guests in the store.
#[rustler::nif(schedule = "DirtyCpu")]
fn store_gc<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>, via: Via) -> Term<'a> {
    access::reply(env, &cell, via, |mut cx| {
        cx.gc(None).map(|()| atoms::ok()).map_err(Error::Guest)
    })
}

fast_nif!(store_close / 1);
fn store_close<'a>(env: Env<'a>, [handle]: [Term<'a>; 1]) -> NifResult<Term<'a>> {
    let cell: Argument<StoreCell> = handle.decode()?;
    if cell.is_slow_to_end(env.pid()) && dirty::is_normal() {
        return Ok(dirty::again(env, c"store_close", &[handle]));
    }
    cell::close(env, &cell);
    Ok(atoms::ok().to_term(env))
}

#[rustler::nif]
fn store_stop_waiting(env: Env, cell: ResourceArc<StoreCell>) -> rustler::Atom {
    cell::stop_waiting(env, &cell);
    atoms::ok()
}

/// The process that is using the store; nil when it is idle.
#[rustler::nif]
fn store_driver<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>) -> Term<'a> {
    cell.driver().encode(env)
}
