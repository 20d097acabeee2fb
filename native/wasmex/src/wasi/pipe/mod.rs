//! Pipes: bytes between Elixir and a guest's standard streams.
//!
//! A buffer keeps everything and has one cursor that both sides share. A stream is bounded: whoever
//! reads an empty one or writes a full one waits, a guest without a thread, Elixir for a message.

pub mod byte_queue;
pub mod state;
pub mod stream;

use crate::vm::atoms;
use crate::vm::env::EnvScope;
use crate::vm::live::{Kind, Live};
use crate::vm::term_box::TermBox;
use crate::vm::waker::{self, Tag};
use crate::wasi::pipe::byte_queue::ByteQueue;
use crate::wasi::pipe::state::{Content, Read, State, Written};
use bytes::Bytes;
use rustler::{
    Atom, Binary, Encoder, Env, LocalPid, NewBinary, NifResult, Resource, ResourceArc, Term,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// A pipe in the hands of Elixir.
pub struct PipeResource {
    /// The pipe.
    pub pipe: Arc<Pipe>,
    _live: Live,
}

impl Resource for PipeResource {}

/// Elixir has let go of it: a guest at the other end would wait for ever, if there is but one.
impl Drop for PipeResource {
    fn drop(&mut self) {
        if self.pipe.lock().own {
            self.pipe.change(|state| state.deserted = true);
        }
    }
}

impl std::panic::RefUnwindSafe for PipeResource {}

/// A pipe, shared by both sides.
pub struct Pipe(Mutex<State>);

impl Pipe {
    /// Its state, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who waited are told once the lock is free.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state);
        let guests = std::mem::take(&mut state.guests);
        let processes = std::mem::take(&mut state.processes);
        drop(state);
        guests.into_iter().for_each(Waker::wake);
        tell(processes);
        result
    }

    /// A reader that finds nothing changes nothing, and wakes nobody: itself least of all.
    pub fn read(&self, limit: usize) -> Read {
        if !self.lock().readable() {
            return Read::Empty;
        }
        self.change(|state| state.read(limit))
    }

    /// Takes the bytes over where they are many; `bytes` is what did not fit. A writer that finds no room changes
    /// nothing either, and wakes nobody: two of them would wake each other for ever.
    pub fn write(&self, bytes: &mut Bytes) -> Written {
        if self.lock().is_full() {
            return Written::Full;
        }
        self.change(|state| state.write(bytes))
    }

    /// Copies what there is room for, and no more.
    fn copy(&self, bytes: &[u8]) -> Written {
        let room = self.lock().room();
        self.write(&mut Bytes::copy_from_slice(
            &bytes[..bytes.len().min(room.max(1))],
        ))
    }

    /// Nothing more will be written.
    pub fn close(&self) {
        self.change(|state| {
            state.closed = true;
            state.wanted = false;
        });
    }

    /// A guest found nothing to read: it is woken later, and who feeds the pipe is told now.
    pub fn want(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if state.readable() {
            return false;
        }
        state.wake_guest_later(waker);
        let first = !std::mem::replace(&mut state.wanted, true);
        let processes = if first {
            std::mem::take(&mut state.processes)
        } else {
            Vec::new()
        };
        drop(state);
        tell(processes);
        true
    }
}

fn tell(processes: Vec<(LocalPid, TermBox)>) {
    for (pid, reference) in processes {
        waker::notify(pid, Tag::Pipe, reference);
    }
}

/// A cursor can't go where no memory could ever be.
const MAX_SEEK: u64 = 1 << 40;

/// So many processes may wait before those that are dead are looked for.
const MANY: usize = 64;

#[rustler::nif]
fn pipe_new(mode: Atom, capacity: Option<u64>) -> NifResult<ResourceArc<PipeResource>> {
    let content = match mode {
        mode if mode == atoms::buffer() => Content::Buffer {
            data: Vec::new(),
            cursor: 0,
        },
        mode if mode == atoms::stream() => Content::Stream(ByteQueue::default()),
        _ => return Err(rustler::Error::BadArg),
    };
    let capacity = capacity.map(|capacity| usize::try_from(capacity).unwrap_or(usize::MAX));
    let pipe = Arc::new(Pipe(Mutex::new(State::new(content, capacity))));
    Ok(ResourceArc::new(PipeResource {
        pipe,
        _live: Live::new(Kind::Pipe),
    }))
}

#[rustler::nif]
fn pipe_size(pipe: ResourceArc<PipeResource>) -> usize {
    match &pipe.pipe.lock().content {
        Content::Buffer { data, .. } => data.len(),
        Content::Stream(queue) => queue.len(),
    }
}

/// False for a stream, which has no positions.
#[rustler::nif]
fn pipe_seek(pipe: ResourceArc<PipeResource>, position: u64) -> NifResult<bool> {
    if position > MAX_SEEK {
        return Err(rustler::Error::BadArg);
    }
    match &mut pipe.pipe.lock().content {
        Content::Buffer { cursor, .. } => {
            *cursor = usize::try_from(position).map_err(|_| rustler::Error::BadArg)?
        }
        Content::Stream(_) => return Ok(false),
    }
    Ok(true)
}

/// A binary, `:eof`, or `{:empty, reference}`: a message `{:wasmex_pipe, reference}` follows.
#[rustler::nif]
fn pipe_read<'a>(env: Env<'a>, pipe: ResourceArc<PipeResource>, limit: u64) -> Term<'a> {
    take(env, &pipe, limit)
        .unwrap_or_else(|| tell_later(env, &pipe, atoms::empty(), State::readable))
}

/// A binary, `:eof`, or nil when there is nothing now.
#[rustler::nif]
fn pipe_take<'a>(env: Env<'a>, pipe: ResourceArc<PipeResource>, limit: u64) -> Option<Term<'a>> {
    take(env, &pipe, limit)
}

/// Straight into a binary of the VM; `None` when a stream has nothing now.
fn take<'a>(env: Env<'a>, pipe: &PipeResource, limit: u64) -> Option<Term<'a>> {
    let _env = EnvScope::enter(env.as_c_arg());
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // Looked at first: a reader that finds nothing changes nothing, and wakes nobody.
    if !pipe.pipe.lock().readable() {
        return None;
    }
    pipe.pipe
        .change(|state| match (state.readable(), state.available()) {
            // Another reader was faster.
            (false, _) => None,
            (true, 0) => Some(atoms::eof().encode(env)),
            (true, available) => {
                let mut binary = NewBinary::new(env, available.min(limit));
                state.fill(binary.as_mut_slice());
                Some(Binary::from(binary).to_term(env))
            }
        })
}

/// Whether a guest waits for bytes.
#[rustler::nif]
fn pipe_wanted(pipe: ResourceArc<PipeResource>) -> bool {
    pipe.pipe.lock().wanted
}

/// `:wanted` when a guest waits for bytes, `:closed`, or `{:wait, reference}`.
#[rustler::nif]
fn pipe_await_demand<'a>(env: Env<'a>, pipe: ResourceArc<PipeResource>) -> Term<'a> {
    let state = pipe.pipe.lock();
    match (state.closed, state.wanted) {
        (true, _) => atoms::closed().encode(env),
        (false, true) => atoms::wanted().encode(env),
        (false, false) => {
            drop(state);
            tell_later(env, &pipe, atoms::wait(), |state| {
                state.wanted || state.closed
            })
        }
    }
}

/// `{:ok, count}`, `:closed`, `:no_room`, or `{:full, reference}`.
#[rustler::nif]
fn pipe_write<'a>(env: Env<'a>, pipe: ResourceArc<PipeResource>, bytes: Binary<'a>) -> Term<'a> {
    let _env = EnvScope::enter(env.as_c_arg());
    match pipe.pipe.copy(&bytes) {
        Written::Bytes(count) => (atoms::ok(), count).encode(env),
        Written::Closed => atoms::closed().encode(env),
        // That can't be: the one that writes has it.
        Written::NoRoom | Written::Deserted => atoms::no_room().encode(env),
        Written::Full => tell_later(env, &pipe, atoms::full(), State::writable),
    }
}

fn tell_later<'a>(
    env: Env<'a>,
    pipe: &PipeResource,
    tag: Atom,
    ready: fn(&State) -> bool,
) -> Term<'a> {
    let _env = EnvScope::enter(env.as_c_arg());
    let reference: Term = *env.make_ref();
    let mut state = pipe.pipe.lock();
    if ready(&state) {
        // It changed since: the message comes at once.
        drop(state);
        waker::notify(env.pid(), Tag::Pipe, TermBox::new(reference));
    } else {
        if state.processes.len() >= MANY {
            state.processes.retain(|(pid, _)| pid.is_alive(env));
        }
        state.processes.push((env.pid(), TermBox::new(reference)));
    }
    (tag, reference).encode(env)
}

/// The process gives up on the message; true when it was sent already.
#[rustler::nif]
fn pipe_stop_waiting(env: Env, pipe: ResourceArc<PipeResource>) -> bool {
    let me = env.pid();
    let mut state = pipe.pipe.lock();
    let before = state.processes.len();
    state.processes.retain(|(pid, _)| *pid != me);
    before == state.processes.len()
}

#[rustler::nif]
fn pipe_close(env: Env, pipe: ResourceArc<PipeResource>) -> Atom {
    let _env = EnvScope::enter(env.as_c_arg());
    pipe.pipe.close();
    atoms::ok()
}
