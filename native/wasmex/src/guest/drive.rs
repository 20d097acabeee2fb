//! A call under way, a poll at a time: each comes back as a step for `Wasmex.Call`.

use crate::guest::cell::{Entry, Phase, StoreCell, Via};
use crate::guest::execution::{Execution, Polled};
use crate::guest::handoff::{Command, Event, Handoff};
use crate::guest::imports;
use crate::guest::job::Job;
use crate::guest::ticker;
use crate::vm::atoms;
use crate::vm::env;
use crate::vm::error::Error;
use rustler::{Encoder, Env, ResourceArc, Term};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a job: at the top of an idle store, nested in the import that this process runs, or not yet.
/// The answer is the first step: see `Wasmex.Call`.
pub fn begin<'a>(env: Env<'a>, cell: &ResourceArc<StoreCell>, via: Via, job: Job) -> Term<'a> {
    if !ticker::available() {
        return Error::NoTicker.to_term(env);
    }
    match StoreCell::enter(cell, env, via) {
        Ok(Entry::Idle(store)) => {
            let execution = Box::new(Execution::new(store, job, env.pid()));
            drive(env, cell, execution, Handoff::new(env, None))
        }
        Ok(Entry::Import(mut execution)) => {
            let handoff = execution.nest(env, job);
            execution.in_import = false;
            drive(env, cell, execution, handoff)
        }
        Ok(Entry::Busy(reference)) => (atoms::busy(), reference).encode(env),
        Err(error) => error.to_term(env),
    }
}

/// Polls the call that this process drives.
pub fn resume<'a>(env: Env<'a>, cell: &ResourceArc<StoreCell>, what: Resume) -> Term<'a> {
    let mut execution = match cell.take_call(env.pid()) {
        Ok(execution) => execution,
        Err(error) => return error.to_term(env),
    };
    let handoff = match what {
        Resume::Poll => Handoff::new(env, None),
        Resume::Import(command) => {
            execution.imports.pop();
            execution.in_import = false;
            Handoff::new(env, Some(command))
        }
        Resume::Cancel => Handoff::cancel(env, execution.nested.len()),
    };
    drive(env, cell, execution, handoff)
}

pub enum Resume {
    Poll,
    Import(Command),
    Cancel,
}

/// Polls the call once, on this thread. `handle` is what the guest's own imports find the store by, null where none
/// of them will run.
pub fn poll(
    cell: &StoreCell,
    execution: &mut Execution,
    handoff: &mut Handoff,
    handle: *const ResourceArc<StoreCell>,
) -> Polled {
    cell.wake.polling();
    execution.poll(handoff, handle, &cell.ticks, &cell.wake, cell.reactor)
}

/// One poll, and what it came to as a step.
fn drive<'a>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    mut execution: Box<Execution>,
    mut handoff: Handoff,
) -> Term<'a> {
    match poll(cell, &mut execution, &mut handoff, cell) {
        Polled::Finished((store, result)) => {
            drop(execution);
            let term = reply(env, &result);
            cell.leave(env, Phase::Idle(store));
            term
        }
        Polled::Panicked(why) => broken(env, cell, execution, why).to_term(env),
        Polled::Pending => {
            if !execution.watched {
                execution.watched = true;
                cell.watch(cell, env, execution.driver);
            }
            pending(env, cell, execution, handoff.event)
        }
    }
}

fn pending<'a>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    mut execution: Box<Execution>,
    event: Option<Event>,
) -> Term<'a> {
    match event {
        Some(Event::Import(import)) => {
            let term = imports::step(env, &import);
            execution.imports.push(import);
            execution.in_import = true;
            cell.leave(env, Phase::Suspended(execution));
            term
        }
        Some(Event::JobDone(result)) => {
            execution.end_nested();
            let term = reply(env, &result);
            cell.leave(env, Phase::Suspended(execution));
            term
        }
        Some(Event::Visited) | None => {
            let parked = cell.wake.park(env);
            cell.leave(env, Phase::Suspended(execution));
            match parked {
                Some(reference) => (atoms::wait(), reference).encode(env),
                None => {
                    // A slice is a whole turn: others get the scheduler next.
                    rustler::schedule::consume_timeslice(env, 100);
                    atoms::yield_().encode(env)
                }
            }
        }
    }
}

fn reply<'a>(
    env: Env<'a>,
    result: &std::result::Result<rustler::sys::ErlNifTerm, Box<Error>>,
) -> Term<'a> {
    match result {
        // SAFETY: made in this environment by the poll that just ended.
        Ok(term) => (atoms::ok(), unsafe { env::term(env, *term) }).encode(env),
        Err(error) => error.to_term(env),
    }
}

/// The fiber can't be trusted any more; its store goes with it.
pub fn broken(env: Env, cell: &StoreCell, execution: Box<Execution>, why: String) -> Error {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(execution)));
    cell.leave(env, Phase::Broken(why.clone()));
    Error::Broken(why)
}

/// The driver is gone: end its call and free the store for others.
pub fn abandon(cell: &StoreCell, env: Env, mut execution: Box<Execution>) {
    let mut handoff = Handoff::cancel(env, 0);
    let phase = match poll(cell, &mut execution, &mut handoff, std::ptr::null()) {
        Polled::Finished(finished) => Phase::Idle(finished.0),
        Polled::Pending => Phase::Broken("a cancelled call did not end".into()),
        Polled::Panicked(why) => Phase::Broken(why),
    };
    drop(execution);
    cell.leave(env, phase);
}
