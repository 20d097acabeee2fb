//! Access to a store. This file alone decides between:
//!
//! - idle: use it directly;
//! - suspended in an import that the calling process runs: use it through the guest's own `Caller`;
//! - in use by another process: queue, first come first served; a message announces the turn.

use crate::guest::data::StoreData;
use crate::guest::execution::{self, Execution};
use crate::guest::extension::NewStore;
use crate::guest::held::Held;
use crate::guest::hosts::Hosts;
use crate::guest::long_polls::LongPolls;
use crate::guest::suspension::PendingImport;
use crate::guest::ticker::Ticks;
use crate::guest::turns::{Turns, Waiter};
use crate::guest::via::Via;
use crate::guest::waits;
use crate::vm::dirty;
use crate::vm::env::EnvScope;
use crate::vm::error::{Error, Result};
use crate::vm::janitor;
use crate::vm::live::{Kind, Live};
use crate::vm::pid::is_same;
use crate::vm::resource::{ResourceArc, named};
use crate::vm::slots::SharedSlots;
use crate::vm::term_box::TermBox;
use crate::vm::trim;
use crate::vm::waker::WakeCell;
use crate::wasi::context::View;
use crate::wasi::http::outgoing::Outgoing;
use rustler::{Env, LocalPid, Monitor, Resource, Term};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::{Engine, Store};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The id of a new store.
pub fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// A store, idle or in use.
pub struct StoreCell {
    /// Identifies the store.
    pub id: u64,
    /// The engine of its guests.
    pub engine: Engine,
    /// Keeps the engine's epoch ticks coming.
    pub ticks: Arc<Ticks>,
    /// The host modules that instances in this store may import.
    pub hosts: Hosts,
    /// Whether polls need tokio's context.
    pub reactor: bool,
    /// Data that one call may pass from a component to Elixir.
    pub hostcall_fuel: usize,
    /// Which polls of its guests are long.
    pub long: LongPolls,
    /// Attached by extensions, see [`crate::guest::extension`].
    pub slots: SharedSlots,
    /// Wakes the process that drives a call.
    pub wake: Arc<WakeCell>,
    held: Arc<Held>,
    inner: Mutex<Inner>,
    _live: Live,
}

struct Inner {
    phase: Phase,
    turns: Turns,
    monitored: Option<(LocalPid, Monitor)>,
    /// The process was killed while one of its NIFs used the store, which a dirty scheduler does not notice.
    dead: Option<LocalPid>,
    closing: bool,
}

/// The state of the store.
pub enum Phase {
    /// Nobody uses it.
    Idle(Store<StoreData>),
    /// A call waits to be polled.
    Suspended(Execution),
    /// A NIF of this process is using it.
    Taken(LocalPid),
    /// The call of a dead process is being ended.
    Ending,
    /// It was freed.
    Closed,
    /// It was lost, for this reason.
    Broken(String),
}

impl Phase {
    /// Drops the store, with the call that uses it; a large one on a janitor's thread.
    fn free(self, held: &Held) {
        match self {
            Phase::Idle(store) if held.is_slow_to_free() => janitor::drop_elsewhere(store),
            Phase::Suspended(execution) if held.is_slow_to_collect() || held.is_slow_to_free() => {
                janitor::drop_elsewhere(execution);
            }
            phase => drop(phase),
        }
    }
}

/// The outcome of a request for a store.
pub enum Entry<'a> {
    /// The store, to be put back with [`StoreCell::leave`].
    Idle(Store<StoreData>),
    /// This process's own call, suspended in the import with this serial.
    Import(Execution, u64),
    /// Another process is using it: a message with this reference announces the turn.
    Busy(Term<'a>),
}

impl Inner {
    /// Gives the next process its turn if the store is free, or wakes all if it is gone.
    fn pass_on(&mut self, env: Env) {
        if self.turns.is_empty() {
            return;
        }
        let _env = EnvScope::enter(env.as_c_arg());
        match self.phase {
            Phase::Idle(_) => self.turns.next(),
            Phase::Closed | Phase::Broken(_) => self.turns.dismiss(),
            Phase::Suspended(_) | Phase::Taken(_) | Phase::Ending => {}
        }
    }
}

named!(StoreCell, "store", down);

impl Resource for StoreCell {
    const IMPLEMENTS_DOWN: bool = true;
}

/// A process that drove or waited for this store has died.
fn down(cell: &ResourceArc<StoreCell>, env: Env, pid: LocalPid, _monitor: Monitor) {
    let _env = EnvScope::enter(env.as_c_arg());
    let mut inner = cell.lock();
    if inner
        .monitored
        .as_ref()
        .is_some_and(|(monitored, _)| *monitored == pid)
    {
        inner.monitored = None;
    }
    inner.turns.quit(pid);
    let abandoned = match &inner.phase {
        Phase::Taken(user) if *user == pid => {
            inner.dead = Some(pid);
            None
        }
        Phase::Suspended(execution) if execution.driver == pid => {
            Some(std::mem::replace(&mut inner.phase, Phase::Ending))
        }
        _ => None,
    };
    drop(inner);
    if let Some(Phase::Suspended(execution)) = abandoned {
        execution::abandon_elsewhere(cell, env, execution);
    }
    waits::forget(pid);
}

impl std::panic::RefUnwindSafe for StoreCell {}

impl Drop for StoreCell {
    fn drop(&mut self) {
        let inner = self.inner.get_mut();
        let inner = inner.unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut inner.phase, Phase::Closed).free(&self.held);
        trim::freed();
    }
}

impl StoreCell {
    /// An idle store.
    pub fn new(new: NewStore, ticks: Arc<Ticks>) -> ResourceArc<Self> {
        trim::made();
        let store = new.store;
        let wake = WakeCell::new();
        if let Some(outgoing) = new.shared.get::<Outgoing>() {
            outgoing.wake_with(&wake);
        }
        ResourceArc::new(StoreCell {
            id: store.data().id,
            engine: store.engine().clone(),
            ticks,
            hosts: Hosts::granted(store.data(), new.traced),
            reactor: new.reactor,
            hostcall_fuel: store.data().wasi_context().fuel,
            long: LongPolls::new(store.data().traps.details),
            slots: new.shared,
            wake,
            held: store.data().limits.held().clone(),
            inner: Mutex::new(Inner {
                phase: Phase::Idle(store),
                turns: Turns::default(),
                monitored: None,
                dead: None,
                closing: false,
            }),
            _live: Live::new(Kind::Store),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the store for this NIF, or returns why not.
    pub fn enter<'a>(cell: &ResourceArc<Self>, env: Env<'a>, via: Via) -> Result<Entry<'a>> {
        let me = env.pid();
        let mut inner = cell.lock();
        let gone = match &inner.phase {
            Phase::Idle(_) => return cell.enter_idle(cell, inner, env, via),
            Phase::Suspended(execution) if is_same(execution.driver, me) => {
                let serial = execution.suspended.address(via)?;
                let execution = cell.take_suspended(&mut inner, me)?;
                return Ok(Entry::Import(execution, serial));
            }
            Phase::Closed => Error::Closed,
            // It is freed as soon as the call of the process that died has ended.
            Phase::Ending if inner.closing => Error::Closed,
            Phase::Broken(why) => Error::broken(why.clone()),
            Phase::Suspended(_) | Phase::Taken(_) | Phase::Ending => {
                drop(inner);
                return match via {
                    // Valid only while the import runs, and another process runs it.
                    Via::Caller(_) => Err(Error::CallerElsewhere),
                    Via::Store => cell.wait(cell, env, me).map(Entry::Busy),
                };
            }
        };
        drop(inner);
        waits::forget(me);
        Err(gone)
    }

    /// The same of an idle store, which may be another process's turn.
    fn enter_idle<'a>(
        &self,
        cell: &ResourceArc<Self>,
        mut inner: MutexGuard<'_, Inner>,
        env: Env<'a>,
        via: Via,
    ) -> Result<Entry<'a>> {
        let me = env.pid();
        if matches!(via, Via::Caller(_)) {
            return Err(Error::CallerExpired);
        }
        if inner.turns.is_anothers(me) {
            drop(inner);
            return self.wait(cell, env, me).map(Entry::Busy);
        }
        let turn = inner.turns.take();
        let phase = std::mem::replace(&mut inner.phase, Phase::Taken(me));
        drop(inner);
        if let Some(waiter) = turn {
            waiter.done(cell, env);
        }
        match phase {
            Phase::Idle(store) => Ok(Entry::Idle(store)),
            _ => Err(Error::broken("the store is in no known state")),
        }
    }

    fn take_suspended(&self, inner: &mut Inner, me: LocalPid) -> Result<Execution> {
        match std::mem::replace(&mut inner.phase, Phase::Taken(me)) {
            Phase::Suspended(execution) => Ok(execution),
            other => {
                inner.phase = other;
                Err(Error::broken("the store is in no known state"))
            }
        }
    }

    /// Takes the call out that this process drives.
    pub fn take_call(&self, me: LocalPid) -> Result<Execution> {
        let mut inner = self.lock();
        match &inner.phase {
            Phase::Suspended(execution) if is_same(execution.driver, me) => {
                self.take_suspended(&mut inner, me)
            }
            Phase::Closed => Err(Error::Closed),
            Phase::Broken(why) => Err(Error::broken(why.clone())),
            _ => Err(Error::Cancelled),
        }
    }

    /// The call that this process drives has waited for long.
    pub fn rest(&self, me: LocalPid) {
        if let Phase::Suspended(execution) = &mut self.lock().phase
            && execution.driver == me
        {
            execution.rest();
        }
    }

    /// Queues this process. The message for its turn carries the reference.
    fn wait<'a>(&self, cell: &ResourceArc<Self>, env: Env<'a>, me: LocalPid) -> Result<Term<'a>> {
        if !waits::remember(me, cell) {
            return Err(Error::Deadlock);
        }
        let reference: Term = *env.make_ref();
        // Monitored and queued under one lock: if it is killed in between, on a dirty scheduler, `down` waits for the lock
        // and finds it in the queue.
        let mut inner = self.lock();
        let Some(monitor) = cell.monitor(Some(env), &me) else {
            // It was killed before.
            drop(inner);
            waits::forget(me);
            return Err(Error::Cancelled);
        };
        let earlier = inner.turns.push(Waiter {
            pid: me,
            reference: TermBox::new(reference),
            monitor,
        });
        inner.pass_on(env);
        drop(inner);
        if let Some(earlier) = earlier {
            cell.demonitor(Some(env), &earlier.monitor);
        }
        Ok(reference)
    }

    /// Puts the store back and gives the next process its turn.
    pub fn leave(&self, env: Env, phase: Phase) {
        let mut inner = self.lock();
        let phase = match (inner.dead.take(), phase) {
            (Some(pid), Phase::Suspended(execution)) if execution.driver == pid => {
                drop(inner);
                return execution::abandon(self, env, execution);
            }
            (_, phase) => phase,
        };
        let closed = inner.closing && matches!(phase, Phase::Idle(_) | Phase::Broken(_));
        // The store is dropped after the lock is released.
        let (phase, dropped) = match closed {
            true => (Phase::Closed, Some(phase)),
            false => (phase, None),
        };
        if let Phase::Idle(store) = &phase {
            self.held.count_objects(|| store.gc_heap_capacity());
        }
        inner.phase = phase;
        inner.pass_on(env);
        drop(inner);
        if closed {
            self.slots.close();
        }
        if let Some(phase) = dropped {
            phase.free(&self.held);
        }
    }

    /// Whether the call that this process drives takes long to end: a collection of its objects that has begun is
    /// finished first.
    pub fn is_slow_to_end(&self, me: LocalPid) -> bool {
        match &self.lock().phase {
            Phase::Suspended(execution) => {
                execution.driver == me && self.is_slow_to_abandon(execution)
            }
            _ => false,
        }
    }

    /// The same of a call that was taken out.
    pub fn is_slow_to_abandon(&self, execution: &Execution) -> bool {
        execution.may_collect && self.held.is_slow_to_collect()
    }

    /// Whether a NIF that makes objects must move to a dirty scheduler: it may have to collect others first.
    pub fn allocates_slowly(&self) -> bool {
        self.held.is_slow_to_allocate() && dirty::is_normal()
    }

    /// Whether single steps of a collection take long: they belong on a dirty scheduler.
    pub fn collects_slowly(&self) -> bool {
        self.held.has_slow_steps()
    }

    /// Whether a wake-up message is on its way to the driver.
    pub fn forget_wake(&self) -> bool {
        self.wake.polling()
    }

    /// Whether it is closed, or will be when the process that uses it leaves.
    pub fn is_closed(&self) -> bool {
        let inner = self.lock();
        inner.closing || matches!(inner.phase, Phase::Closed)
    }

    /// The process that is using the store, if any.
    pub fn driver(&self) -> Option<LocalPid> {
        match &self.lock().phase {
            Phase::Suspended(execution) => Some(execution.driver),
            Phase::Taken(pid) => Some(*pid),
            _ => None,
        }
    }

    /// Inspects the import with this serial while it waits for its result.
    pub fn pending<R>(&self, serial: u64, look: impl FnOnce(&PendingImport) -> R) -> Option<R> {
        match &self.lock().phase {
            Phase::Suspended(execution) => execution.suspended.find(serial).map(look),
            _ => None,
        }
    }

    /// Monitors the driving process, from the first step that leaves the call unfinished.
    pub fn watch(&self, cell: &ResourceArc<Self>, env: Env, pid: LocalPid) {
        let mut inner = self.lock();
        if inner
            .monitored
            .as_ref()
            .is_some_and(|(monitored, _)| *monitored == pid)
        {
            return;
        }
        let old = inner.monitored.take();
        match cell.monitor(Some(env), &pid) {
            Some(monitor) => inner.monitored = Some((pid, monitor)),
            // It was killed on a dirty scheduler before: `leave` ends its call.
            None => inner.dead = Some(pid),
        }
        drop(inner);
        if let Some((_, monitor)) = old {
            cell.demonitor(Some(env), &monitor);
        }
    }
}

/// Frees the store now, or as soon as its current user leaves.
pub fn close(env: Env, cell: &ResourceArc<StoreCell>) {
    let me = env.pid();
    let mut inner = cell.lock();
    inner.closing = true;
    match &inner.phase {
        Phase::Idle(_) => {
            let store = std::mem::replace(&mut inner.phase, Phase::Closed);
            inner.turns.take();
            inner.pass_on(env);
            drop(inner);
            cell.slots.close();
            store.free(&cell.held);
        }
        Phase::Suspended(execution) if execution.driver == me => {
            if let Ok(execution) = cell.take_suspended(&mut inner, me) {
                drop(inner);
                execution::abandon(cell, env, execution);
            }
        }
        Phase::Closed | Phase::Broken(_) => {
            drop(inner);
            cell.slots.close();
        }
        Phase::Suspended(_) | Phase::Taken(_) | Phase::Ending => {}
    }
}

/// Leaves the queue; a turn that has already arrived passes to the next process.
pub fn stop_waiting(env: Env, cell: &ResourceArc<StoreCell>) {
    let me = env.pid();
    let _env = EnvScope::enter(env.as_c_arg());
    let mut inner = cell.lock();
    let waiter = inner.turns.quit(me);
    drop(inner);
    match waiter {
        Some(waiter) => waiter.done(cell, env),
        None => waits::forget(me),
    }
}
