//! A guest call under way: a future that owns its store and gives it back at the end.

use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::handoff::{Command, Handoff};
use crate::guest::imports::PendingImport;
use crate::guest::job::Job;
use crate::guest::ticker::Ticks;
use crate::vm::error::Error;
use crate::vm::live::{Kind, Live};
use crate::vm::runtime;
use crate::vm::waker::WakeCell;
use rustler::sys::ErlNifTerm;
use rustler::{Env, LocalPid, ResourceArc};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use wasmtime::{AsContextMut, Store};

/// The store comes back; the result is boxed where it is large, for it moves with every poll.
pub type Finished = (Store<StoreData>, Result<ErlNifTerm, Box<Error>>);

pub struct Execution {
    future: Pin<Box<dyn Future<Output = Finished> + Send>>,
    pub driver: LocalPid,
    /// The imports that Elixir is running right now, innermost last.
    pub imports: Vec<PendingImport>,
    /// For each nested job, how many imports were running when it began.
    pub nested: Vec<usize>,
    /// Whether the guest waits for the innermost import (and not for time or I/O).
    pub in_import: bool,
    /// Whether the driver is monitored for this call.
    pub watched: bool,
    _live: Live,
}

/// What one poll came to. The panic case has lost the store.
pub enum Polled {
    Finished(Finished),
    Pending,
    Panicked(String),
}

impl Execution {
    pub fn new(mut store: Store<StoreData>, job: Job, driver: LocalPid) -> Self {
        let future = Box::pin(async move {
            let result = job.run(store.as_context_mut()).await;
            (store, result)
        });
        Execution {
            future,
            driver,
            imports: Vec::new(),
            nested: Vec::new(),
            in_import: false,
            watched: false,
            _live: Live::new(Kind::Execution),
        }
    }

    /// Polls once on this thread, with ticks coming and tokio in reach.
    pub fn poll(
        &mut self,
        handoff: &mut Handoff,
        cell: *const ResourceArc<StoreCell>,
        ticks: &Ticks,
        wake: &Arc<WakeCell>,
        reactor: bool,
    ) -> Polled {
        let running = ticks.enter();
        let reactor = reactor.then(|| runtime::get().map(|runtime| runtime.enter()));
        // The store cell keeps the waker alive during the poll: no reference needs counting.
        // SAFETY: the pointer comes from an `Arc` that outlives this waker, which is never dropped.
        let waker = ManuallyDrop::new(Waker::from(unsafe { Arc::from_raw(Arc::as_ptr(wake)) }));
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::from_waker(&waker);
            // SAFETY: the caller's cell, if any, outlives this function.
            unsafe { handoff.during(cell, || self.future.as_mut().poll(&mut context)) }
        }));
        drop(reactor);
        drop(running);
        match polled {
            Ok(Poll::Ready(finished)) => Polled::Finished(finished),
            Ok(Poll::Pending) => Polled::Pending,
            Err(panic) => Polled::Panicked(panic_text(&*panic)),
        }
    }

    pub fn nest(&mut self, env: Env, mut job: Job) -> Handoff {
        self.nested.push(self.imports.len());
        job.level = self.nested.len();
        Handoff::new(env, Some(Command::Job(Box::new(job))))
    }

    pub fn end_nested(&mut self) {
        if let Some(imports) = self.nested.pop() {
            self.imports.truncate(imports);
        }
        self.in_import = true;
    }
}

pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".to_string())
}
