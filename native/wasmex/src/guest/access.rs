//! Short uses of a store: reading a memory, setting fuel, and the like.

use crate::guest::cell::{Entry, Phase, StoreCell};
use crate::guest::data::StoreData;
use crate::guest::execution::{self, Execution, Polled, panic_text};
use crate::guest::handoff::{CellScope, Command, Handoff, Visit};
use crate::guest::host_term;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::env::EnvScope;
use crate::vm::error::{Error, Result};
use crate::vm::resource::ResourceArc;
use rustler::{Encoder, Env, Term};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmtime::{AsContextMut, RootScope, Store, StoreContextMut};

/// Uses the store briefly. `Err` is the term for Elixir: `{:busy, reference}` or an error.
pub fn with<'a, R>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    via: Via,
    f: impl FnOnce(StoreContextMut<'_, StoreData>) -> R,
) -> std::result::Result<R, Term<'a>> {
    // SAFETY: `cell` outlives this function.
    let _scope = unsafe { CellScope::enter(cell) };
    match StoreCell::enter(cell, env, via) {
        Ok(Entry::Idle(store)) => {
            let (store, result) = idle(env, cell, store, f).map_err(|error| error.to_term(env))?;
            cell.leave(env, Phase::Idle(store));
            Ok(result)
        }
        Ok(Entry::Import(execution, serial)) => {
            visit(env, cell, execution, serial, f).map_err(|error| error.to_term(env))
        }
        Ok(Entry::Busy(reference)) => Err((atoms::busy(), reference).encode(env)),
        Err(error) => Err(error.to_term(env)),
    }
}

/// Uses an idle store that has been entered and must be left.
pub fn idle<R>(
    env: Env,
    cell: &StoreCell,
    mut store: Store<StoreData>,
    f: impl FnOnce(StoreContextMut<'_, StoreData>) -> R,
) -> Result<(Store<StoreData>, R)> {
    let scope = EnvScope::enter(env.as_c_arg());
    let result = catch_unwind(AssertUnwindSafe(|| f(store.as_context_mut())));
    drop(scope);
    match result {
        Ok(result) => Ok((store, result)),
        Err(panic) => {
            let why = panic_text(&*panic);
            cell.leave(env, Phase::Broken(why.clone()));
            Err(Error::broken(why))
        }
    }
}

/// As [`with`], with the result for Elixir: `{:ok, term}` or an error.
pub fn reply<'a, R: Encoder>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    via: Via,
    f: impl FnOnce(StoreContextMut<'_, StoreData>) -> Result<R>,
) -> Term<'a> {
    match with(env, cell, via, f) {
        Ok(Ok(result)) => (atoms::ok(), result).encode(env),
        Ok(Err(error)) => error.to_term(env),
        Err(term) => term,
    }
}

/// As [`reply`]; references rooted by `f` are unrooted at its end.
pub fn reply_rooted<'a>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    via: Via,
    f: impl FnOnce(StoreContextMut<'_, StoreData>) -> Result<Term<'a>>,
) -> Term<'a> {
    let reply = reply(env, cell, via, |mut cx| {
        f(RootScope::new(&mut cx).as_context_mut())
    });
    host_term::finish(env, reply)
}

/// Runs `f` inside the import that the guest is suspended in.
pub fn visit<R>(
    env: Env,
    cell: &ResourceArc<StoreCell>,
    mut execution: Execution,
    serial: u64,
    f: impl FnOnce(StoreContextMut<'_, StoreData>) -> R,
) -> Result<R> {
    let mut f = Some(f);
    let mut result = None;
    let mut run = |cx: StoreContextMut<'_, StoreData>| {
        if let Some(f) = f.take() {
            result = Some(f(cx));
        }
    };
    // SAFETY: `run` outlives the poll below.
    let visit = unsafe { Visit::new(&mut run) };
    let mut handoff = Handoff::command(env, serial, Command::Visit(visit));
    match execution.poll(cell, &mut handoff, cell) {
        Polled::Pending => {
            cell.leave(env, Phase::Suspended(execution));
            result.ok_or_else(|| Error::broken("the import did not take the visit"))
        }
        Polled::Finished(finished) => {
            drop(execution);
            cell.leave(env, Phase::Idle(finished.0));
            Err(Error::Cancelled)
        }
        Polled::Panicked(why) => Err(execution::broken(env, cell, execution, why)),
    }
}
