//! What passes between a NIF and the guest's fiber during one poll.
//!
//! A poll runs the guest on this very thread, so a thread-local pointer to a struct on the NIF's
//! stack is enough: no lock, no allocation. The NIF leaves a command (results of an import, a job, a
//! closure), the guest side takes it and leaves an event (an import to run, a job that is done).

use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::imports::PendingImport;
use crate::guest::job::Job;
use crate::vm::env::EnvScope;
use crate::vm::error::Error;
use rustler::sys::{ErlNifEnv, ErlNifTerm};
use rustler::{Env, ResourceArc};
use std::cell::Cell;
use std::ptr;
use std::task::Poll;
use wasmtime::StoreContextMut;

/// A closure that wants the store while the guest is suspended in an import.
pub struct Visit(*mut dyn FnMut(StoreContextMut<'_, StoreData>));

// SAFETY: it is made and called within one poll, on one thread; it is `Send` only so that the future
// that takes it may be.
unsafe impl Send for Visit {}

impl Visit {
    /// # Safety
    /// The closure must stay alive until the poll it is handed to has returned.
    pub unsafe fn new<'a>(visit: &'a mut (dyn FnMut(StoreContextMut<'_, StoreData>) + 'a)) -> Self {
        // SAFETY: only the lifetime changes; the caller keeps the closure alive.
        Visit(unsafe {
            std::mem::transmute::<
                &'a mut (dyn FnMut(StoreContextMut<'_, StoreData>) + 'a),
                *mut (dyn FnMut(StoreContextMut<'_, StoreData>) + 'static),
            >(visit)
        })
    }

    pub fn run(self, cx: StoreContextMut<'_, StoreData>) {
        // SAFETY: alive by the contract of `new`, and nobody else calls it meanwhile.
        unsafe { (*self.0)(cx) }
    }
}

/// What a NIF tells the import that the guest is suspended in.
pub enum Command {
    /// The import's results, a term of the current environment.
    Resume(ErlNifTerm),
    /// The import failed: trap the guest.
    Raise,
    /// Use the store, then stay suspended.
    Visit(Visit),
    /// Run this in the store, one level deeper, then stay suspended.
    Job(Box<Job>),
}

/// What the guest side says at the end of a poll that is pending.
pub enum Event {
    Import(PendingImport),
    JobDone(Result<ErlNifTerm, Box<Error>>),
    Visited,
}

pub struct Handoff {
    env: *mut ErlNifEnv,
    cell: *const ResourceArc<StoreCell>,
    pub command: Option<Command>,
    pub event: Option<Event>,
    /// Frames of this level and deeper are to end now.
    pub cancel: Option<usize>,
}

thread_local! {
    static CURRENT: Cell<*mut Handoff> = const { Cell::new(ptr::null_mut()) };
    static CELL: Cell<*const ResourceArc<StoreCell>> = const { Cell::new(ptr::null()) };
}

impl Handoff {
    pub fn new(env: Env, command: Option<Command>) -> Self {
        Handoff {
            env: env.as_c_arg(),
            cell: ptr::null(),
            command,
            event: None,
            cancel: None,
        }
    }

    pub fn cancel(env: Env, level: usize) -> Self {
        Handoff {
            cancel: Some(level),
            ..Handoff::new(env, None)
        }
    }

    /// Runs `poll` with this handoff in reach of the guest side.
    ///
    /// # Safety
    /// `cell` must be alive until `during` returns.
    pub unsafe fn during<R>(
        &mut self,
        cell: *const ResourceArc<StoreCell>,
        poll: impl FnOnce() -> R,
    ) -> R {
        self.cell = cell;
        let env = EnvScope::enter(self.env);
        let scope = Scope(CURRENT.replace(self));
        let result = poll();
        drop(scope);
        drop(env);
        result
    }
}

struct Scope(*mut Handoff);

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Says which store this thread works in, for values that must know their store (functions).
pub struct CellScope(*const ResourceArc<StoreCell>);

impl CellScope {
    /// # Safety
    /// `cell` must outlive the scope.
    pub unsafe fn enter(cell: &ResourceArc<StoreCell>) -> Self {
        CellScope(CELL.replace(cell))
    }
}

impl Drop for CellScope {
    fn drop(&mut self) {
        CELL.set(self.0);
    }
}

/// The store that this thread works in, if any.
#[inline(never)]
pub fn current_cell() -> Option<ResourceArc<StoreCell>> {
    let cell = with(|handoff| handoff.cell).unwrap_or_else(|| CELL.get());
    // SAFETY: set by `during` or by a `CellScope`, whose caller keeps it alive on this thread's stack.
    (!cell.is_null()).then(|| unsafe { (*cell).clone() })
}

/// Not inlined: a fiber may move to another thread between two calls, so the address of a
/// thread-local must not be kept from one to the next.
#[inline(never)]
fn current() -> *mut Handoff {
    CURRENT.get()
}

/// Gives `f` the handoff of the poll under way; `None` outside of a poll (a fiber that unwinds).
fn with<R>(f: impl FnOnce(&mut Handoff) -> R) -> Option<R> {
    let handoff = current();
    if handoff.is_null() {
        return None;
    }
    // SAFETY: set by `during` for the time of this poll, on this thread; `f` does not call back in.
    Some(f(unsafe { &mut *handoff }))
}

pub fn emit(event: Event) {
    with(|handoff| handoff.event = Some(event));
}

/// Whether frames of this level are to end now.
pub fn cancelled(level: usize) -> bool {
    with(|handoff| handoff.cancel.is_some_and(|from| from <= level)).unwrap_or(false)
}

/// The next command, awaited by the innermost suspended import. Nobody registers a waker: the NIF
/// that brings a command polls.
pub async fn next_command() -> Command {
    std::future::poll_fn(|_| match with(|handoff| handoff.command.take()) {
        Some(Some(command)) => Poll::Ready(command),
        _ => Poll::Pending,
    })
    .await
}
