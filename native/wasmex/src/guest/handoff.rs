//! Communication between a NIF and the guest's fiber during one poll.
//!
//! A poll runs the guest on the NIF's own thread, so a thread-local pointer to a struct on the NIF's stack is enough,
//! without locks or allocation. The NIF leaves a command (results of an import, a job, a closure); the guest side takes
//! it and leaves an event (an import to run, a finished job).

use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::host_term;
use crate::guest::suspension::PendingImport;
use crate::vm::dirty;
use crate::vm::env::{self, EnvScope, Scoped};
use crate::vm::error::{Error, Result};
use crate::vm::janitor;
use crate::vm::long::Elsewhere;
use crate::vm::pause::pause;
use crate::vm::resource::ResourceArc;
use crate::vm::term_box::TermBox;
use rustler::Env;
use rustler::sys::{ErlNifEnv, ErlNifTerm};
use std::cell::Cell;
use std::pin::Pin;
use std::ptr;
use std::task::Poll;
use wasmtime::StoreContextMut;

/// A closure that uses the store while the guest is suspended in an import.
pub struct Visit(*mut dyn FnMut(StoreContextMut<'_, StoreData>));

// SAFETY: created and called within one poll, on one thread. It is `Send` only because the future that receives it must
// be.
unsafe impl Send for Visit {}

impl Visit {
    /// # Safety
    /// The closure must stay alive until the poll that receives it has returned.
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
        // SAFETY: kept alive by the condition of `new`, and not called concurrently.
        unsafe { (*self.0)(cx) }
    }
}

/// A term of the environment of the polling NIF, or an error, which is boxed because it is large and moved on every
/// poll.
pub type Ended = std::result::Result<ErlNifTerm, Box<Error>>;

/// A job for a store in use: it runs nested in the import that the guest is suspended in.
pub trait Nested: Send {
    /// Runs to the end.
    fn run<'a>(
        self: Box<Self>,
        cx: StoreContextMut<'a, StoreData>,
    ) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>>;
}

/// A command from a NIF to a suspended import.
pub enum Command {
    /// The import's results, a term of the current environment.
    Resume(ErlNifTerm),
    /// The import failed: the guest traps.
    Raise,
    /// Use the store, then remain suspended.
    Visit(Visit),
    /// Run this in the store, one level deeper, then remain suspended.
    Nest(Box<dyn Nested>),
}

/// An event reported by the guest side at the end of a pending poll.
pub enum Event {
    /// The guest called an import.
    Import(PendingImport),
    /// A nested job has ended.
    Nested(Ended),
    /// A closure has used the store.
    Visited,
}

/// Data passed in and out of one poll.
pub struct Handoff {
    env: *mut ErlNifEnv,
    cell: *const ResourceArc<StoreCell>,
    /// With the serial of the import it is for.
    command: Option<(u64, Command)>,
    /// The last event from the guest side.
    pub event: Option<Event>,
    /// Jobs at this level and deeper must end now.
    cancel: Option<usize>,
    /// Whether a tick has suspended the guest.
    pub at_tick: bool,
    /// The result of a component's function while the guest's `post-return` runs.
    result: Option<Returned>,
}

/// The result of a component's function.
pub enum Returned {
    /// A term of the polling NIF.
    Here(ErlNifTerm),
    /// A copy, made by an earlier poll.
    Kept(Box<Kept>),
    /// Not read from the guest's memory yet.
    Later(Later),
    /// It could not be read.
    Failed(wasmtime::Error),
}

/// Reads a result and leaves it with [`leave_result`].
pub type Later = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A copy of a result.
pub struct Kept {
    /// `None` once it was dropped.
    term: Option<TermBox>,
    /// Whether it was copied on a dirty scheduler, as large ones are.
    is_large: bool,
    /// Whether parts of it are left out, see [`host_term`].
    is_partial: bool,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(term) = self.term.take()
            && self.is_large
        {
            janitor::drop_elsewhere(term);
        }
    }
}

thread_local! {
    static CURRENT: Cell<*mut Handoff> = const { Cell::new(ptr::null_mut()) };
    static CELL: Cell<*const ResourceArc<StoreCell>> = const { Cell::new(ptr::null()) };
}

impl Handoff {
    /// Continues the guest.
    pub fn poll(env: Env) -> Self {
        Handoff {
            env: env.as_c_arg(),
            cell: ptr::null(),
            command: None,
            event: None,
            cancel: None,
            at_tick: false,
            result: None,
        }
    }

    /// Passes in the result that an earlier poll left.
    pub fn bring_result(&mut self, kept: &mut Option<Returned>) {
        self.result = kept.take();
    }

    /// The result, if it has not been taken: its term would end with this poll.
    pub fn keep_result(&mut self) -> Option<Returned> {
        Some(match self.result.take()? {
            Returned::Here(term) => {
                let lifetime = ();
                // SAFETY: the environment of the NIF that has just polled, and a term made in it.
                let term = unsafe { env::term(Env::new(&lifetime, self.env), term) };
                Returned::Kept(Box::new(Kept {
                    term: Some(TermBox::new(term)),
                    is_large: !dirty::is_normal(),
                    is_partial: host_term::is_withheld(),
                }))
            }
            // From here on the guest may run, and change its memory.
            Returned::Later(_) => Returned::Failed(wasmtime::Error::msg(
                "a guest was suspended before its result was read",
            )),
            kept => kept,
        })
    }

    /// Passes a command to the import with this serial.
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

    /// Runs `poll` with this handoff accessible to the guest side.
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
        let scope = Scoped::enter(&CURRENT, ptr::from_mut(self));
        let result = poll();
        drop(scope);
        drop(env);
        result
    }
}

/// Sets the store this thread works in, for values that must know their store (functions).
pub struct CellScope {
    _scope: Scoped<*const ResourceArc<StoreCell>>,
}

impl CellScope {
    /// # Safety
    /// `cell` must outlive the scope.
    pub unsafe fn enter(cell: &ResourceArc<StoreCell>) -> Self {
        CellScope {
            _scope: Scoped::enter(&CELL, cell),
        }
    }
}

/// The store this thread works in, if any.
#[inline(never)]
pub fn current_cell() -> Option<ResourceArc<StoreCell>> {
    let cell = with(|handoff| handoff.cell).unwrap_or_else(|| CELL.get());
    // SAFETY: set by `during` or by a `CellScope`, whose caller keeps it alive on this thread's stack.
    (!cell.is_null()).then(|| unsafe { (*cell).clone() })
}

/// Passes the store of the current poll to `f`; `None` outside of a poll, or if no other follows.
fn in_store<R>(f: impl FnOnce(&StoreCell) -> R) -> Option<R> {
    let cell = with(|handoff| handoff.cell)?;
    // SAFETY: set by `during`, whose caller keeps it alive on this thread's stack.
    (!cell.is_null()).then(|| f(unsafe { &*cell }))
}

/// The id of the store of the current poll, if any.
pub fn current_id() -> Option<u64> {
    in_store(|cell| cell.id)
}

/// The data that one call may pass from a component of this store, see `component/lift.rs`.
pub fn hostcall_fuel() -> usize {
    in_store(|cell| cell.hostcall_fuel).unwrap_or(0)
}

/// Whether long work of this poll can be put off to one on a dirty scheduler.
pub fn may_put_off() -> bool {
    in_store(|_| dirty::is_normal()).unwrap_or(false)
}

/// Continues on a dirty scheduler, if this is a normal one.
pub async fn elsewhere() {
    if may_put_off() {
        in_store(|cell| cell.long.once());
        pause().await;
    }
}

/// Not inlined: a fiber may move to another thread between two calls, so the address of a
/// thread-local must not be kept from one to the next.
#[inline(never)]
fn current() -> *mut Handoff {
    CURRENT.get()
}

/// Passes the handoff of the current poll to `f`; `None` outside of a poll (when a fiber unwinds).
fn with<R>(f: impl FnOnce(&mut Handoff) -> R) -> Option<R> {
    let handoff = current();
    if handoff.is_null() {
        return None;
    }
    // SAFETY: set by `during` for the duration of this poll, on this thread; `f` does not re-enter.
    Some(f(unsafe { &mut *handoff }))
}

/// Reports an event to the polling NIF.
pub fn emit(event: Event) {
    with(|handoff| handoff.event = Some(event));
}

/// While this lives, the store's guests run on dirty schedulers.
pub struct Stay(ResourceArc<StoreCell>);

impl Stay {
    /// From the next poll on.
    pub fn begin() -> Option<Self> {
        in_store(|_| ())?;
        let cell = current_cell()?;
        cell.long.stay();
        Some(Stay(cell))
    }

    /// The same for host functions, which do not know this type.
    pub fn boxed() -> Option<Elsewhere> {
        Some(Box::new(Stay::begin()?))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.long.leave();
    }
}

/// A component's function has returned: its result waits here while the guest runs `post-return`. No other function
/// returns in between, since that code may not call imports.
pub fn leave_result(term: ErlNifTerm) {
    with(|handoff| handoff.result = Some(Returned::Here(term)));
}

/// The same if the result could not be read.
pub fn leave_failure(error: wasmtime::Error) {
    with(|handoff| handoff.result = Some(Returned::Failed(error)));
}

/// The same if the result is to be read before the guest's next instruction.
///
/// The epoch passes: all deadlines are one tick ahead at most, and every function checks it first. So the guest is
/// suspended in [`crate::guest::slice`] when it enters `post-return`.
pub fn put_off_result(later: Later) {
    with(|handoff| handoff.result = Some(Returned::Later(later)));
    in_store(|cell| cell.engine.increment_epoch());
}

/// A tick suspends the guest. Returns what reads the result, if that was put off.
pub fn tick() -> Option<Later> {
    let later = |handoff: &mut Handoff| {
        handoff.at_tick = true;
        let later = handoff
            .result
            .take_if(|result| matches!(result, Returned::Later(_)));
        match later {
            Some(Returned::Later(later)) => Some(later),
            _ => None,
        }
    };
    with(later).flatten()
}

/// Takes the result, in the same or a later poll.
pub fn take_result() -> Option<Returned> {
    with(|handoff| handoff.result.take())?
}

/// Makes a result a term of the polling NIF: reads it if that was put off and the guest has no `post-return`, and copies
/// a large one on a dirty scheduler.
pub async fn result_here(mut result: Option<Returned>) -> Result<ErlNifTerm> {
    if let Some(Returned::Later(later)) = result {
        later.await;
        result = take_result();
    }
    match result {
        Some(Returned::Here(term)) => Ok(term),
        Some(Returned::Kept(kept)) => {
            if kept.is_large {
                elsewhere().await;
            }
            if kept.is_partial {
                host_term::withhold();
            }
            env::in_env(|env| Some(kept.term.as_ref()?.get(env).as_c_arg()))
                .flatten()
                .ok_or(Error::Cancelled)
        }
        Some(Returned::Failed(error)) => Err(Error::Guest(error)),
        Some(Returned::Later(_)) | None => Err(Error::Cancelled),
    }
}

/// Whether jobs at this level must end now.
pub fn cancelled(level: usize) -> bool {
    with(|handoff| handoff.cancel.is_some_and(|from| from <= level)).unwrap_or(false)
}

/// Waits for the next command to the import with this serial. No waker is registered: the NIF that passes a command
/// also polls.
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
