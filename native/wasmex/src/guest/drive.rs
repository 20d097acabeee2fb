//! Drives a call, one poll at a time; each poll returns a step for `Wasmex.Call`.

use crate::guest::access;
use crate::guest::cell::{Entry, Phase, StoreCell};
use crate::guest::data::StoreData;
use crate::guest::execution::{self, Execution, Polled};
use crate::guest::handoff::{CellScope, Command, Ended, Event, Handoff};
use crate::guest::host_term;
use crate::guest::job::{Job, Work};
use crate::guest::ticker;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::resource::ResourceArc;
use crate::wasi::http::outgoing::Outgoing;
use rustler::schedule::consume_timeslice;
use rustler::{Encoder, Env, Term};
use std::time::{Duration, Instant};
use wasmtime::{AsContextMut, Store, StoreContextMut};

/// Runs a job: at the top of an idle store, nested in an import run by this process, or not yet. Returns the first
/// step, see `Wasmex.Call`.
pub fn begin<'a, W: Work>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    via: Via,
    mut job: Job<W>,
) -> Term<'a> {
    if !ticker::available() {
        return Error::NoTicker.to_term(env);
    }
    match StoreCell::enter(cell, env, via) {
        Ok(Entry::Idle(store)) => start(env, cell, store, job),
        Ok(Entry::Import(mut execution, serial)) => {
            job.level = execution.suspended.nest();
            let command = Command::Nest(Box::new(job));
            poll(env, cell, execution, Handoff::command(env, serial, command))
        }
        Ok(Entry::Busy(reference)) => (atoms::busy(), reference).encode(env),
        Err(error) => error.to_term(env),
    }
}

/// As [`begin`], with a job that is built from the store, in the same turn: a process that gave up its turn would go to
/// the end of the queue.
pub fn begin_found<'a, W: Work>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    via: Via,
    find: impl FnOnce(StoreContextMut<'_, StoreData>) -> Result<Job<W>>,
) -> Term<'a> {
    if !ticker::available() {
        return Error::NoTicker.to_term(env);
    }
    // SAFETY: `cell` outlives this function.
    let scope = unsafe { CellScope::enter(cell) };
    let found = match StoreCell::enter(cell, env, via) {
        Ok(Entry::Idle(store)) => match access::idle(env, cell, store, find) {
            Ok((store, Ok(job))) => {
                drop(scope);
                return start(env, cell, store, job);
            }
            Ok((store, Err(error))) => {
                cell.leave(env, Phase::Idle(store));
                Err(error)
            }
            Err(error) => Err(error),
        },
        // This process drives the call, so no other comes in between.
        Ok(Entry::Import(execution, serial)) => {
            access::visit(env, cell, execution, serial, find).and_then(|found| found)
        }
        Ok(Entry::Busy(reference)) => return (atoms::busy(), reference).encode(env),
        Err(error) => Err(error),
    };
    drop(scope);
    match found {
        Ok(job) => begin(env, cell, via, job),
        Err(error) => error.to_term(env),
    }
}

fn start<'a, W: Work>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    mut store: Store<StoreData>,
    job: Job<W>,
) -> Term<'a> {
    let execution = execution::new(env.pid(), || async move {
        let result = job.run(store.as_context_mut()).await;
        (store, result)
    });
    poll(env, cell, execution, Handoff::poll(env))
}

/// The next action of the call's driver.
pub enum Resume<'a> {
    /// Continue.
    Poll,
    /// Pass results to the import with this serial.
    Results(u64, Term<'a>),
    /// The import with this serial failed.
    Raise(u64),
}

/// Polls the call that this process drives.
pub fn resume<'a>(env: Env<'a>, cell: &ResourceArc<StoreCell>, what: Resume<'a>) -> Term<'a> {
    let mut execution = match cell.take_call(env.pid()) {
        Ok(execution) => execution,
        Err(error) => return error.to_term(env),
    };
    let (serial, command) = match what {
        Resume::Poll => return poll(env, cell, execution, Handoff::poll(env)),
        Resume::Raise(serial) => (serial, Command::Raise),
        Resume::Results(serial, results) => {
            let import = execution.suspended.find(serial);
            if import.is_some_and(|import| import.is_larger(results)) {
                cell.leave(env, Phase::Suspended(execution));
                let args = [cell.encode(env), serial.encode(env), results];
                return dirty::again(env, c"call_resume", &args);
            }
            (serial, Command::Resume(results.as_c_arg()))
        }
    };
    if let Err(error) = execution.suspended.answer(serial) {
        cell.leave(env, Phase::Suspended(execution));
        return error.to_term(env);
    }
    let handoff = Handoff::command(env, serial, command);
    poll(env, cell, execution, handoff)
}

/// Cancels the call that this process drives, or at least its innermost job. The result goes through
/// [`host_term::finish`].
pub fn cancel<'a>(env: Env<'a>, cell: &ResourceArc<StoreCell>) -> Term<'a> {
    match cell.take_call(env.pid()) {
        Ok(execution) => {
            let handoff = Handoff::cancel(env, execution.suspended.level());
            drive(env, cell, execution, handoff)
        }
        Err(error) => error.to_term(env),
    }
}

/// As [`drive`], for the end of a NIF.
fn poll<'a>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    execution: Execution,
    handoff: Handoff,
) -> Term<'a> {
    let step = drive(env, cell, execution, handoff);
    host_term::finish(env, step)
}

/// Polls once and returns the outcome as a step.
fn drive<'a>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    mut execution: Execution,
    mut handoff: Handoff,
) -> Term<'a> {
    let ticks = ticker::ticks();
    match poll_on(env, cell, &mut execution, &mut handoff) {
        Polled::Finished((store, result)) => {
            drop(execution);
            let term = ended(env, &result);
            charge(env, ticks);
            cell.leave(env, Phase::Idle(store));
            term
        }
        Polled::Panicked(why) => execution::broken(env, cell, execution, why).to_term(env),
        Polled::Pending => {
            if !execution.watched {
                execution.watched = true;
                cell.watch(cell, env, execution.driver);
            }
            pending(env, cell, execution, handoff, ticks)
        }
    }
}

/// On a dirty scheduler, a collection goes on for so long before the process can do anything else, such as cancel it.
const COLLECTING: Duration = Duration::from_millis(20);

/// Polls once; on a dirty scheduler again while objects are collected: each step takes less time than the way there.
fn poll_on(
    env: Env,
    cell: &ResourceArc<StoreCell>,
    execution: &mut Execution,
    handoff: &mut Handoff,
) -> Polled {
    let mut polled = execution.poll(cell, handoff, cell);
    if !matches!(polled, Polled::Pending) || !cell.collects_slowly() || dirty::is_normal() {
        return polled;
    }
    let began = Instant::now();
    while matches!(polled, Polled::Pending)
        && may_collect(cell, handoff)
        && began.elapsed() < COLLECTING
    {
        *handoff = Handoff::poll(env);
        polled = execution.poll(cell, handoff, cell);
    }
    polled
}

/// Whether the guest may have been suspended in the middle of a collection: by itself, and not to wait.
fn may_collect(cell: &StoreCell, handoff: &Handoff) -> bool {
    handoff.event.is_none() && !handoff.at_tick && cell.wake.is_woken()
}

fn pending<'a>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    mut execution: Execution,
    handoff: Handoff,
    ticks: u64,
) -> Term<'a> {
    execution.may_collect = may_collect(cell, &handoff);
    if execution.may_collect && cell.collects_slowly() {
        cell.long.once();
    }
    match handoff.event {
        Some(Event::Import(import)) => {
            let term = import.step(env);
            execution.suspended.push(import);
            cell.leave(env, Phase::Suspended(execution));
            term
        }
        Some(Event::Nested(result)) => {
            execution.suspended.end_nested();
            let term = ended(env, &result);
            charge(env, ticks);
            cell.leave(env, Phase::Suspended(execution));
            term
        }
        None if let Some(term) = cell.slots.get::<Outgoing>().and_then(|http| http.next(env)) => {
            cell.leave(env, Phase::Suspended(execution));
            term
        }
        Some(Event::Visited) | None => {
            let parked = cell.wake.park(env);
            cell.leave(env, Phase::Suspended(execution));
            match parked {
                Some(number) => (atoms::wait(), number).encode(env),
                None => {
                    // A slice uses up the whole time slice: other processes get the scheduler next.
                    consume_timeslice(env, 100);
                    atoms::yield_().encode(env)
                }
            }
        }
    }
}

/// Charges the process for a call in which a tick came. A guest that is running at a tick ends its slice. Host functions,
/// conversions and what follows a trap, such as walking its stack, do not notice ticks.
fn charge(env: Env, ticks: u64) {
    if ticker::ticks() != ticks {
        consume_timeslice(env, 100);
    }
}

fn ended<'a>(env: Env<'a>, result: &Ended) -> Term<'a> {
    match result {
        // SAFETY: made in this environment by the poll that just ended.
        Ok(term) => (atoms::ok(), unsafe { env::term(env, *term) }).encode(env),
        Err(error) => error.to_term(env),
    }
}
