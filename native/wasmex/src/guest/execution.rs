//! A guest call under way: a future that owns its store and gives it back at the end.

use crate::guest::cell::{Phase, StoreCell};
use crate::guest::data::StoreData;
use crate::guest::handoff::{Ended, Handoff};
use crate::guest::suspension::Suspended;
use crate::vm::error::Error;
use crate::vm::live::{Kind, Live};
use crate::vm::recycled::Recycled;
use crate::vm::runtime;
use crate::vm::term_box::TermBox;
use rustler::{Env, LocalPid, ResourceArc};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use wasmtime::Store;

/// The store comes back.
pub type Finished = (Store<StoreData>, Ended);

/// A call under way, in one allocation with its future.
pub type Execution = Recycled<State<dyn Future<Output = Finished> + Send>>;

/// What a call under way consists of.
pub struct State<F: ?Sized> {
    /// The process whose call it is: no other polls it.
    pub driver: LocalPid,
    /// The imports that it is suspended in.
    pub suspended: Suspended,
    /// Whether the driver is monitored for this call.
    pub watched: bool,
    /// The result of a component's function, kept while what the guest runs after it takes more than a poll.
    result: Option<TermBox>,
    _live: Live,
    /// Pinned: it is never moved out of its box.
    future: F,
}

/// What one poll came to. The panic case has lost the store.
pub enum Polled {
    /// The call is over.
    Finished(Finished),
    /// The call waits, or its slice is over.
    Pending,
    /// With the panic's text.
    Panicked(String),
}

/// A call that `driver` polls.
pub fn new(future: impl Future<Output = Finished> + Send + 'static, driver: LocalPid) -> Execution {
    let state = State {
        driver,
        suspended: Suspended::default(),
        watched: false,
        result: None,
        _live: Live::new(Kind::Execution),
        future,
    };
    Recycled::new(state, |state| {
        state as *mut State<dyn Future<Output = Finished> + Send>
    })
}

impl State<dyn Future<Output = Finished> + Send> {
    /// Polls once on this thread, with ticks coming and tokio in reach. `handle` is what the guest's own imports find
    /// the store by, null where none of them will run.
    pub fn poll(
        &mut self,
        cell: &StoreCell,
        handoff: &mut Handoff,
        handle: *const ResourceArc<StoreCell>,
    ) -> Polled {
        cell.wake.polling();
        let running = cell.ticks.enter();
        let reactor = cell
            .reactor
            .then(|| runtime::get().map(|runtime| runtime.enter()));
        // The store cell keeps the waker alive during the poll: no reference needs counting.
        // SAFETY: the pointer comes from an `Arc` that outlives this waker, which is never dropped.
        let waker = unsafe { Arc::from_raw(Arc::as_ptr(&cell.wake)) };
        let waker = ManuallyDrop::new(Waker::from(waker));
        handoff.bring_result(&mut self.result);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::from_waker(&waker);
            // SAFETY: an execution is only ever in its box, which is dropped as a whole.
            let future = unsafe { Pin::new_unchecked(&mut self.future) };
            // SAFETY: the caller's handle, if any, outlives this function.
            unsafe { handoff.during(handle, || future.poll(&mut context)) }
        }));
        drop(reactor);
        drop(running);
        match polled {
            Ok(Poll::Ready(finished)) => Polled::Finished(finished),
            Ok(Poll::Pending) => {
                self.result = handoff.keep_result();
                Polled::Pending
            }
            Err(panic) => Polled::Panicked(panic_text(&*panic)),
        }
    }
}

/// The fiber can't be trusted any more; its store goes with it.
pub fn broken(env: Env, cell: &StoreCell, execution: Execution, why: String) -> Error {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(execution)));
    cell.leave(env, Phase::Broken(why.clone()));
    Error::broken(why)
}

/// The driver is gone: end its call and free the store for others.
pub fn abandon(cell: &StoreCell, env: Env, mut execution: Execution) {
    let mut handoff = Handoff::cancel(env, 0);
    let phase = match execution.poll(cell, &mut handoff, std::ptr::null()) {
        Polled::Finished(finished) => Phase::Idle(finished.0),
        Polled::Pending => Phase::Broken("a cancelled call did not end".into()),
        Polled::Panicked(why) => Phase::Broken(why),
    };
    drop(execution);
    cell.leave(env, phase);
}

/// What a panic says.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".to_string())
}
