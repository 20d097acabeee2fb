//! Uses of a store that take a moment: reading a memory, setting fuel, and the like.

use crate::atoms;
use crate::error::{Error, Result};
use crate::execution::{Execution, Polled, panic_text};
use crate::handoff::{CellScope, Command, EnvScope, Handoff, Visit};
use crate::store_cell::{Entry, Phase, StoreCell, Via};
use crate::store_data::StoreData;
use rustler::{Encoder, Env, ResourceArc, Term};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmtime::{AsContextMut, StoreContextMut};

/// Uses the store for a moment. `Err` is the term to answer: `{:busy, reference}` or an error.
pub fn with<'a, R>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    via: Via,
    f: impl FnOnce(StoreContextMut<'_, StoreData>) -> R,
) -> std::result::Result<R, Term<'a>> {
    // SAFETY: `cell` outlives this function.
    let _scope = unsafe { CellScope::enter(cell) };
    match StoreCell::enter(cell, env, via) {
        Ok(Entry::Idle(mut store)) => {
            let scope = EnvScope::enter(env.as_c_arg());
            let result = catch_unwind(AssertUnwindSafe(|| f(store.as_context_mut())));
            drop(scope);
            match result {
                Ok(result) => {
                    cell.leave(env, Phase::Idle(store));
                    Ok(result)
                }
                Err(panic) => {
                    let why = panic_text(&*panic);
                    cell.leave(env, Phase::Broken(why.clone()));
                    Err(Error::Broken(why).to_term(env))
                }
            }
        }
        Ok(Entry::Import(execution)) => {
            visit(env, cell, execution, f).map_err(|error| error.to_term(env))
        }
        Ok(Entry::Busy(reference)) => Err((atoms::busy(), reference).encode(env)),
        Err(error) => Err(error.to_term(env)),
    }
}

/// Runs `f` inside the import that the guest is suspended in.
fn visit<R>(
    env: Env,
    cell: &ResourceArc<StoreCell>,
    mut execution: Box<Execution>,
    f: impl FnOnce(StoreContextMut<'_, StoreData>) -> R,
) -> Result<R> {
    let mut f = Some(f);
    let mut result = None;
    let mut run = |cx: StoreContextMut<'_, StoreData>| {
        if let Some(f) = f.take() {
            result = Some(f(cx));
        }
    };
    // SAFETY: `run` lives until after the poll below.
    let visit = unsafe { Visit::new(&mut run) };
    let mut handoff = Handoff::new(env, Some(Command::Visit(visit)));
    cell.wake.polling();
    let polled = execution.poll(
        &mut handoff,
        cell,
        cell.engine.ticker_id,
        &cell.wake,
        cell.has_wasi,
    );
    match polled {
        Polled::Pending => {
            cell.leave(env, Phase::Suspended(execution));
            result.ok_or_else(|| Error::Broken("the import did not take the visit".into()))
        }
        Polled::Finished(finished) => {
            drop(execution);
            cell.leave(env, Phase::Idle(finished.0));
            Err(Error::Cancelled)
        }
        Polled::Panicked(why) => {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(execution)));
            cell.leave(env, Phase::Broken(why.clone()));
            Err(Error::Broken(why))
        }
    }
}
