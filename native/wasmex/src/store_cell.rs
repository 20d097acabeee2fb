//! Who may use a store, and how: the choice is made here and nowhere else.
//!
//! - idle: use it directly;
//! - suspended in an import that this very process runs: use it through the guest's own `Caller`;
//! - in use by somebody else: queue, first come first served; the turn comes as a message.

use crate::atoms;
use crate::component::state::Components;
use crate::engine::EngineResource;
use crate::error::{Error, Result};
use crate::execution::{Execution, Polled, panic_text};
use crate::handoff::{CellScope, Command, EnvScope, Event, Handoff, Visit};
use crate::imports;
use crate::job::Job;
use crate::live::{Kind, Live};
use crate::store_data::StoreData;
use crate::term_box::TermBox;
use crate::ticker;
use crate::trace::SharedTrace;
use crate::waits;
use crate::waker::{self, Tag, WakeCell};
use crate::wasi::Wasi;
use rustler::{Encoder, Env, LocalPid, Monitor, Resource, ResourceArc, Term};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::{AsContextMut, Store, StoreContextMut};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

pub struct StoreCell {
    pub id: u64,
    pub engine: ResourceArc<EngineResource>,
    pub has_wasi: bool,
    pub trace: Option<SharedTrace>,
    pub components: Components,
    wake: Arc<WakeCell>,
    inner: Mutex<Inner>,
    _live: Live,
}

struct Inner {
    phase: Phase,
    queue: VecDeque<Waiter>,
    /// Whose turn it is while the store is idle.
    granted: Option<Waiter>,
    monitored: Option<(LocalPid, Monitor)>,
    closing: bool,
}

enum Phase {
    Idle(Store<StoreData>),
    Suspended(Box<Execution>),
    /// A NIF of this process works with it at this moment.
    Taken(LocalPid),
    Closed,
    Broken(String),
}

struct Waiter {
    pid: LocalPid,
    reference: TermBox,
    monitor: Option<Monitor>,
}

/// Which handle the store was asked for with.
#[derive(Clone, Copy)]
pub enum Via {
    Store,
    /// The `caller` of the import with this serial.
    Caller(u64),
}

pub enum Entry<'a> {
    Idle(Store<StoreData>),
    Import(Box<Execution>),
    Busy(Term<'a>),
}

impl Resource for StoreCell {
    const IMPLEMENTS_DOWN: bool = true;

    /// A process that drove or waited for this store is gone.
    fn down<'a>(&'a self, env: Env<'a>, pid: LocalPid, _monitor: Monitor) {
        let _env = EnvScope::enter(env.as_c_arg());
        let mut inner = self.lock();
        if inner
            .monitored
            .as_ref()
            .is_some_and(|(monitored, _)| *monitored == pid)
        {
            inner.monitored = None;
        }
        inner.queue.retain(|waiter| waiter.pid != pid);
        if inner
            .granted
            .as_ref()
            .is_some_and(|waiter| waiter.pid == pid)
        {
            inner.granted = None;
            self.grant_next(&mut inner);
        }
        if let Phase::Suspended(execution) = &inner.phase
            && execution.driver == pid
        {
            let abandoned = std::mem::replace(&mut inner.phase, Phase::Taken(pid));
            drop(inner);
            if let Phase::Suspended(execution) = abandoned {
                self.abandon(env, execution);
            }
        } else {
            drop(inner);
        }
        waits::forget(pid);
    }
}

impl std::panic::RefUnwindSafe for StoreCell {}

impl StoreCell {
    pub fn new(
        id: u64,
        store: Store<StoreData>,
        engine: ResourceArc<EngineResource>,
        has_wasi: bool,
    ) -> Self {
        StoreCell {
            id,
            engine,
            has_wasi,
            trace: store.data().observed.trace.clone(),
            components: Components::default(),
            wake: WakeCell::new(),
            inner: Mutex::new(Inner {
                phase: Phase::Idle(store),
                queue: VecDeque::new(),
                granted: None,
                monitored: None,
                closing: false,
            }),
            _live: Live::new(Kind::Store),
        }
    }

    /// The functions of WASI that instances in this store may import.
    pub fn wasi(&self) -> Wasi {
        match (self.has_wasi, &self.trace) {
            (false, _) => Wasi::None,
            (true, None) => Wasi::Plain,
            (true, Some(_)) => Wasi::Traced,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the store out for this NIF, or says why not.
    fn enter<'a>(cell: &ResourceArc<Self>, env: Env<'a>, via: Via) -> Result<Entry<'a>> {
        let me = env.pid();
        let mut inner = cell.lock();
        match &inner.phase {
            Phase::Idle(_) => {
                if matches!(via, Via::Caller(_)) {
                    return Err(Error::CallerExpired);
                }
                match &inner.granted {
                    Some(waiter) if waiter.pid != me => {
                        drop(inner);
                        return cell.wait(cell, env, me).map(Entry::Busy);
                    }
                    _ => {}
                }
                let turn = inner.granted.take();
                let phase = std::mem::replace(&mut inner.phase, Phase::Taken(me));
                drop(inner);
                if let Some(waiter) = turn {
                    waited(cell, env, waiter);
                }
                match phase {
                    Phase::Idle(store) => Ok(Entry::Idle(store)),
                    _ => Err(Error::Broken("the store is in no known state".into())),
                }
            }
            Phase::Suspended(execution) if execution.driver == me => {
                let known = match via {
                    Via::Store => true,
                    Via::Caller(serial) => execution
                        .imports
                        .iter()
                        .any(|import| import.serial == serial),
                };
                if !known {
                    return Err(Error::CallerExpired);
                }
                // Between two slices only the process's own loop can be running.
                if !execution.in_import {
                    return Err(Error::Deadlock);
                }
                cell.take_suspended(&mut inner, me).map(Entry::Import)
            }
            Phase::Closed => {
                drop(inner);
                waits::forget(me);
                Err(Error::Closed)
            }
            Phase::Broken(why) => {
                let why = why.clone();
                drop(inner);
                waits::forget(me);
                Err(Error::Broken(why))
            }
            Phase::Suspended(_) | Phase::Taken(_) => {
                drop(inner);
                match via {
                    // It is valid only while the import runs, and that is run by somebody else.
                    Via::Caller(_) => Err(Error::CallerElsewhere),
                    Via::Store => cell.wait(cell, env, me).map(Entry::Busy),
                }
            }
        }
    }

    fn take_suspended(&self, inner: &mut Inner, me: LocalPid) -> Result<Box<Execution>> {
        match std::mem::replace(&mut inner.phase, Phase::Taken(me)) {
            Phase::Suspended(execution) => Ok(execution),
            other => {
                inner.phase = other;
                Err(Error::Broken("the store is in no known state".into()))
            }
        }
    }

    /// Queues this process; the reference comes back in its turn message.
    fn wait<'a>(&self, cell: &ResourceArc<Self>, env: Env<'a>, me: LocalPid) -> Result<Term<'a>> {
        if !waits::remember(me, cell) {
            return Err(Error::Deadlock);
        }
        let reference: Term = *env.make_ref();
        let monitor = env.monitor(cell, &me);
        let mut inner = self.lock();
        inner.queue.push_back(Waiter {
            pid: me,
            reference: TermBox::new(reference),
            monitor,
        });
        if matches!(
            inner.phase,
            Phase::Idle(_) | Phase::Closed | Phase::Broken(_)
        ) && inner.granted.is_none()
        {
            let _env = EnvScope::enter(env.as_c_arg());
            self.grant_next(&mut inner);
        }
        Ok(reference)
    }

    /// Puts the store back and lets the next one in.
    fn leave(&self, env: Env, phase: Phase) {
        let mut inner = self.lock();
        let closed = inner.closing && matches!(phase, Phase::Idle(_));
        let free = !matches!(phase, Phase::Suspended(_));
        // A store is dropped after the lock is.
        let (phase, dropped) = match closed {
            true => (Phase::Closed, Some(phase)),
            false => (phase, None),
        };
        inner.phase = phase;
        if free && !inner.queue.is_empty() {
            let _env = EnvScope::enter(env.as_c_arg());
            self.grant_next(&mut inner);
        }
        drop(inner);
        drop(dropped);
    }

    /// Tells the first waiter that it is its turn; all of them when the store is gone for good.
    fn grant_next(&self, inner: &mut Inner) {
        if matches!(inner.phase, Phase::Closed | Phase::Broken(_)) {
            for waiter in inner.queue.drain(..) {
                waker::notify(waiter.pid, Tag::Turn, waiter.reference);
            }
        } else if inner.granted.is_none()
            && let Some(waiter) = inner.queue.pop_front()
        {
            waker::notify(waiter.pid, Tag::Turn, TermBox::copy(&waiter.reference));
            inner.granted = Some(waiter);
        }
    }

    /// The driver is gone: end its call and free the store for others.
    fn abandon(&self, env: Env, mut execution: Box<Execution>) {
        self.wake.polling();
        let polled = execution.poll(
            &mut Handoff::cancel(env, 0),
            std::ptr::null(),
            self.engine.ticker_id,
            &self.wake,
            self.has_wasi,
        );
        let phase = match polled {
            Polled::Finished(finished) => Phase::Idle(finished.0),
            Polled::Pending => Phase::Broken("a cancelled call did not end".into()),
            Polled::Panicked(why) => Phase::Broken(why),
        };
        drop(execution);
        self.leave(env, phase);
    }

    /// Whether a wake-up message is on its way to the driver.
    pub fn forget_wake(&self) -> bool {
        self.wake.polling()
    }

    pub fn driver(&self) -> Option<LocalPid> {
        match &self.lock().phase {
            Phase::Suspended(execution) => Some(execution.driver),
            Phase::Taken(pid) => Some(*pid),
            _ => None,
        }
    }

    /// Watches the driving process from its first step that is not the last.
    fn watch(&self, cell: &ResourceArc<Self>, env: Env, pid: LocalPid) {
        let mut inner = self.lock();
        if inner
            .monitored
            .as_ref()
            .is_some_and(|(monitored, _)| *monitored == pid)
        {
            return;
        }
        let old = inner.monitored.take();
        inner.monitored = env.monitor(cell, &pid).map(|monitor| (pid, monitor));
        drop(inner);
        if let Some((_, monitor)) = old {
            env.demonitor(cell, &monitor);
        }
    }
}

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
    let me = env.pid();
    let mut inner = cell.lock();
    let mut execution = match &inner.phase {
        Phase::Suspended(execution) if execution.driver == me => {
            match cell.take_suspended(&mut inner, me) {
                Ok(execution) => execution,
                Err(error) => return error.to_term(env),
            }
        }
        Phase::Closed => return Error::Closed.to_term(env),
        Phase::Broken(why) => return Error::Broken(why.clone()).to_term(env),
        _ => return Error::Cancelled.to_term(env),
    };
    drop(inner);
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

/// One poll, and what it came to as a step.
fn drive<'a>(
    env: Env<'a>,
    cell: &ResourceArc<StoreCell>,
    mut execution: Box<Execution>,
    mut handoff: Handoff,
) -> Term<'a> {
    cell.wake.polling();
    let polled = execution.poll(
        &mut handoff,
        cell,
        cell.engine.ticker_id,
        &cell.wake,
        cell.has_wasi,
    );
    match polled {
        Polled::Finished((store, result)) => {
            drop(execution);
            let term = reply(env, &result);
            cell.leave(env, Phase::Idle(store));
            term
        }
        Polled::Panicked(why) => {
            // The fiber can't be trusted any more; its store goes with it.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(execution)));
            cell.leave(env, Phase::Broken(why.clone()));
            Error::Broken(why).to_term(env)
        }
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
        Ok(term) => (atoms::ok(), unsafe { crate::handoff::term(env, *term) }).encode(env),
        Err(error) => error.to_term(env),
    }
}

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

/// The functions and the memory of the import that this process runs.
pub fn import_context<'a>(env: Env<'a>, cell: &ResourceArc<StoreCell>) -> Option<Term<'a>> {
    let inner = cell.lock();
    match &inner.phase {
        Phase::Suspended(execution) => {
            let import = execution.imports.last()?;
            Some(imports::context(env, cell, import))
        }
        _ => None,
    }
}

/// Frees the store now, or as soon as the process that uses it lets go.
pub fn close(env: Env, cell: &ResourceArc<StoreCell>) {
    let me = env.pid();
    let mut inner = cell.lock();
    inner.closing = true;
    match &inner.phase {
        Phase::Idle(_) => {
            let store = std::mem::replace(&mut inner.phase, Phase::Closed);
            let _env = EnvScope::enter(env.as_c_arg());
            inner.granted = None;
            cell.grant_next(&mut inner);
            drop(inner);
            drop(store);
        }
        Phase::Suspended(execution) if execution.driver == me => {
            if let Ok(execution) = cell.take_suspended(&mut inner, me) {
                drop(inner);
                cell.abandon(env, execution);
            }
        }
        _ => {}
    }
}

/// Leaves the queue; a turn that came meanwhile goes to the next one.
pub fn stop_waiting(env: Env, cell: &ResourceArc<StoreCell>) {
    let me = env.pid();
    let _env = EnvScope::enter(env.as_c_arg());
    let mut inner = cell.lock();
    let position = inner.queue.iter().position(|waiter| waiter.pid == me);
    let mut waiter = position.and_then(|position| inner.queue.remove(position));
    if inner
        .granted
        .as_ref()
        .is_some_and(|waiter| waiter.pid == me)
    {
        waiter = inner.granted.take();
        cell.grant_next(&mut inner);
    }
    drop(inner);
    match waiter {
        Some(waiter) => waited(cell, env, waiter),
        None => waits::forget(me),
    }
}

/// The wait is over. Not under the store's lock: other locks are taken here.
fn waited(cell: &ResourceArc<StoreCell>, env: Env, waiter: Waiter) {
    if let Some(monitor) = waiter.monitor {
        env.demonitor(cell, &monitor);
    }
    waits::forget(waiter.pid);
}
