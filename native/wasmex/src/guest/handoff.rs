//! What passes between a NIF and the guest's fiber during one poll.
//!
//! A poll runs the guest on this very thread, so a thread-local pointer to a struct on the NIF's
//! stack is enough: no lock, no allocation. The NIF leaves a command (results of an import, a job, a
//! closure), the guest side takes it and leaves an event (an import to run, a job that is done).

use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::suspension::PendingImport;
use crate::vm::env::{self, EnvScope};
use crate::vm::error::Error;
use crate::vm::term_box::TermBox;
use rustler::sys::{ErlNifEnv, ErlNifTerm};
use rustler::{Env, ResourceArc, Term};
use std::cell::Cell;
use std::pin::Pin;
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

    /// Calls the closure.
    pub fn run(self, cx: StoreContextMut<'_, StoreData>) {
        // SAFETY: alive by the condition of `new`, and nobody else calls it meanwhile.
        unsafe { (*self.0)(cx) }
    }
}

/// A term of the environment of the NIF that polls, or an error, boxed because it is large and moves with every poll.
pub type Ended = Result<ErlNifTerm, Box<Error>>;

/// What runs in a store that is in use: nested in the import that the guest is suspended in.
pub trait Nested: Send {
    /// Runs to the end.
    fn run<'a>(
        self: Box<Self>,
        cx: StoreContextMut<'a, StoreData>,
    ) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>>;
}

/// What a NIF tells an import that the guest is suspended in.
pub enum Command {
    /// The import's results, a term of the current environment.
    Resume(ErlNifTerm),
    /// The import failed: trap the guest.
    Raise,
    /// Use the store, then stay suspended.
    Visit(Visit),
    /// Run this in the store, one level deeper, then stay suspended.
    Nest(Box<dyn Nested>),
}

/// What the guest side says at the end of a poll that is pending.
pub enum Event {
    /// The guest called an import.
    Import(PendingImport),
    /// A nested job is over.
    Nested(Ended),
    /// A visit is over.
    Visited,
}

/// What one poll brings and takes away.
pub struct Handoff {
    env: *mut ErlNifEnv,
    cell: *const ResourceArc<StoreCell>,
    /// With the serial of the import that it is for.
    command: Option<(u64, Command)>,
    /// What the guest side said last.
    pub event: Option<Event>,
    /// Frames of this level and deeper are to end now.
    cancel: Option<usize>,
    /// What a component's function returned, until the guest has run what comes after it.
    result: Option<Returned>,
}

enum Returned {
    /// A term of the NIF that polls.
    Here(ErlNifTerm),
    /// A copy, for an earlier poll made it.
    Kept(TermBox),
}

thread_local! {
    static CURRENT: Cell<*mut Handoff> = const { Cell::new(ptr::null_mut()) };
    static CELL: Cell<*const ResourceArc<StoreCell>> = const { Cell::new(ptr::null()) };
}

impl Handoff {
    /// Lets the guest go on.
    pub fn poll(env: Env) -> Self {
        Handoff {
            env: env.as_c_arg(),
            cell: ptr::null(),
            command: None,
            event: None,
            cancel: None,
            result: None,
        }
    }

    /// Brings the result that an earlier poll left.
    pub fn bring_result(&mut self, kept: &mut Option<TermBox>) {
        self.result = kept.take().map(Returned::Kept);
    }

    /// The result that was made and not yet taken: its term would end with this poll.
    pub fn keep_result(&mut self) -> Option<TermBox> {
        match self.result.take()? {
            Returned::Here(term) => {
                let lifetime = ();
                // SAFETY: the environment of the NIF that has just polled, and a term that was made in it.
                Some(TermBox::new(unsafe {
                    env::term(Env::new(&lifetime, self.env), term)
                }))
            }
            Returned::Kept(kept) => Some(kept),
        }
    }

    /// Brings a command to the import of this serial.
    pub fn command(env: Env, serial: u64, command: Command) -> Self {
        Handoff {
            command: Some((serial, command)),
            ..Handoff::poll(env)
        }
    }

    /// Ends the jobs of this level and those nested in it.
    pub fn cancel(env: Env, level: usize) -> Self {
        Handoff {
            cancel: Some(level),
            ..Handoff::poll(env)
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

/// Says something to the NIF that polls.
pub fn emit(event: Event) {
    with(|handoff| handoff.event = Some(event));
}

/// A component's function has returned: its result waits here while the guest runs what comes after it (`post-return`).
/// No other function returns meanwhile, for that code may call no import.
pub fn leave_result(term: ErlNifTerm) {
    with(|handoff| handoff.result = Some(Returned::Here(term)));
}

/// Takes the result again, in whichever poll.
pub fn take_result(env: Env) -> Option<Term> {
    match with(|handoff| handoff.result.take())?? {
        // SAFETY: made in the poll under way, whose environment this is.
        Returned::Here(term) => Some(unsafe { env::term(env, term) }),
        Returned::Kept(kept) => Some(kept.get(env)),
    }
}

/// Whether frames of this level are to end now.
pub fn cancelled(level: usize) -> bool {
    with(|handoff| handoff.cancel.is_some_and(|from| from <= level)).unwrap_or(false)
}

/// The next command for the import of this serial. Nobody registers a waker: the NIF that brings a command polls.
pub async fn next_command(serial: u64) -> Command {
    std::future::poll_fn(|_| {
        let command = with(|handoff| handoff.command.take_if(|(to, _)| *to == serial));
        match command.flatten() {
            Some((_, command)) => Poll::Ready(command),
            None => Poll::Pending,
        }
    })
    .await
}
