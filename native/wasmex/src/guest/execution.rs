//! A guest call in progress: a future that owns its store and returns it at the end.

use crate::guest::away::{self, Away};
use crate::guest::cell::{Phase, StoreCell};
use crate::guest::data::StoreData;
use crate::guest::handoff::{Ended, Handoff, Returned};
use crate::guest::suspension::Suspended;
use crate::vm::dirty;
use crate::vm::error::Error;
use crate::vm::janitor;
use crate::vm::live::{Kind, Live};
use crate::vm::recycled::Recycled;
use crate::vm::resource::ResourceArc;
use crate::vm::resting::Place;
use crate::vm::runtime;
use rustler::{Env, LocalPid, OwnedEnv};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use wasmtime::Store;

/// Returns the store.
pub type Finished = (Store<StoreData>, Ended);

/// A call in progress, in one allocation with its future.
pub type Execution = Recycled<State<dyn Future<Output = Finished> + Send>>;

/// The state of a call.
pub struct State<F: ?Sized> {
    /// The process that owns the call; no other polls it.
    pub driver: LocalPid,
    /// The imports it is suspended in.
    pub suspended: Suspended,
    /// Whether the driver is monitored for this call.
    pub watched: bool,
    /// Whether it may be suspended in the middle of a collection of the guest's objects: by itself, not at a tick.
    pub may_collect: bool,
    /// The result of a component's function, kept while the guest's `post-return` takes more than one poll.
    result: Option<Returned>,
    /// Where on its stack the guest rests, if it does.
    place: Option<usize>,
    /// Its stack, if it was moved away.
    away: Option<Away>,
    /// Counted if the first poll does not end it.
    live: Option<Live>,
    /// Pinned: never moved out of its box.
    future: F,
}

/// The outcome of a poll. After a panic the store is lost.
pub enum Polled {
    /// The call has ended.
    Finished(Finished),
    /// The call waits, or its slice has ended.
    Pending,
    /// With the panic's text.
    Panicked(String),
}

/// A call that `driver` polls.
#[inline(always)]
pub fn new<F: Future<Output = Finished> + Send + 'static>(
    driver: LocalPid,
    future: impl FnOnce() -> F,
) -> Execution {
    let state = || State {
        driver,
        suspended: Suspended::default(),
        watched: false,
        may_collect: false,
        result: None,
        place: None,
        away: None,
        live: None,
        future: future(),
    };
    Recycled::with(state, |state| {
        state as *mut State<dyn Future<Output = Finished> + Send>
    })
}

impl State<dyn Future<Output = Finished> + Send> {
    /// Polls once on this thread, with epoch ticks and tokio's context. Imports of the guest find the store through
    /// `handle`, which is null if none will run.
    pub fn poll(
        &mut self,
        cell: &StoreCell,
        handoff: &mut Handoff,
        handle: *const ResourceArc<StoreCell>,
    ) -> Polled {
        self.restore();
        cell.wake.polling();
        let running = cell.ticks.enter();
        if cell.reactor {
            runtime::attach();
        }
        // The store cell keeps the waker alive during the poll, so no reference is counted.
        // SAFETY: the pointer comes from an `Arc` that outlives this waker, which is never dropped.
        let waker = unsafe { Arc::from_raw(Arc::as_ptr(&cell.wake)) };
        let waker = ManuallyDrop::new(Waker::from(waker));
        handoff.bring_result(&mut self.result);
        let place = Place::of_poll();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::from_waker(&waker);
            // SAFETY: an execution only exists in its box, which is dropped as a whole.
            let future = unsafe { Pin::new_unchecked(&mut self.future) };
            // SAFETY: the caller keeps its handle, if any, alive during this function.
            unsafe { handoff.during(handle, || future.poll(&mut context)) }
        }));
        drop(running);
        match polled {
            Ok(Poll::Ready(finished)) => Polled::Finished(finished),
            Ok(Poll::Pending) => {
                self.live.get_or_insert_with(|| Live::new(Kind::Execution));
                self.place = place.take();
                self.result = handoff.keep_result();
                Polled::Pending
            }
            Err(panic) => Polled::Panicked(panic_text(&*panic)),
        }
    }
}

impl<F: ?Sized> State<F> {
    /// The wait has become long: its stack is moved away until the next poll.
    pub fn rest(&mut self) {
        if let Some(place) = self.place.take() {
            // SAFETY: the last poll ended in this wait, and each poll restores the stack first, as does `drop`.
            self.away = unsafe { away::move_away(place) };
        }
    }

    fn restore(&mut self) {
        if let Some(away) = self.away.take() {
            away.restore();
        }
    }
}

impl<F: ?Sized> Drop for State<F> {
    /// Dropping the future unwinds the stack.
    fn drop(&mut self) {
        self.restore();
    }
}

/// Drops a call whose fiber may be in any state: if that panics, its store must still be left.
fn discard(execution: Execution) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(execution)));
}

/// The fiber's state is unknown after a panic, so its store is dropped with it.
pub fn broken(env: Env, cell: &StoreCell, execution: Execution, why: String) -> Error {
    discard(execution);
    cell.leave(env, Phase::Broken(why.clone()));
    Error::broken(why)
}

/// As [`abandon`], on a janitor's thread if that takes long; until then the store is in use.
pub fn abandon_elsewhere(cell: &ResourceArc<StoreCell>, env: Env, execution: Execution) {
    if !cell.is_slow_to_abandon(&execution) || !dirty::is_normal() {
        return abandon(cell, env, execution);
    }
    let cell = cell.clone();
    janitor::run_elsewhere(move || {
        OwnedEnv::new().run(|env| abandon(&cell, env, execution));
    });
}

/// The driver has died: end its call and free the store for others.
pub fn abandon(cell: &StoreCell, env: Env, mut execution: Execution) {
    let mut handoff = Handoff::cancel(env, 0);
    let phase = match execution.poll(cell, &mut handoff, std::ptr::null()) {
        Polled::Finished(finished) => Phase::Idle(finished.0),
        Polled::Pending => Phase::Broken("a cancelled call did not end".into()),
        Polled::Panicked(why) => Phase::Broken(why),
    };
    discard(execution);
    cell.leave(env, phase);
}

/// The text of a panic.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".to_string())
}
