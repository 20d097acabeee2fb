//! Pipes: bytes between Elixir and a guest's standard streams.
//!
//! A buffer keeps everything and has one cursor shared by both sides. A stream is bounded: reading from an empty one or
//! writing to a full one waits; a guest waits without a thread, Elixir for a message.

pub mod byte_queue;
pub mod state;
pub mod stream;

use crate::vm::atoms;
use crate::vm::charge;
use crate::vm::dirty;
use crate::vm::env::EnvScope;
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};
use crate::vm::term_box::TermBox;
use crate::vm::waker::{self, Tag};
use crate::wasi::pipe::byte_queue::ByteQueue;
use crate::wasi::pipe::state::{Content, Read, State, Written};
use bytes::Bytes;
use rustler::{Atom, Binary, Encoder, Env, NewBinary, NifResult, Term};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Elixir's handle of a pipe.
pub struct PipeResource {
    /// The pipe.
    pub pipe: Arc<Pipe>,
    _live: Live,
}

named_resource!(PipeResource, "pipe");

/// Elixir dropped its handle: if it was the only one, a guest at the other end would wait forever.
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

    /// Waiters are notified once the lock is released.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state);
        let guests = std::mem::take(&mut state.guests);
        let processes = std::mem::take(&mut state.processes);
        drop(state);
        waker::wake_all(guests);
        waker::notify_all(processes, Tag::Pipe);
        result
    }

    /// A read that finds nothing changes nothing and wakes no one, in particular not itself.
    pub fn read(&self, limit: usize) -> Read {
        if !self.lock().readable() {
            return Read::Empty;
        }
        self.change(|state| state.read(limit))
    }

    /// Takes ownership of large writes; `bytes` keeps what did not fit. A write that finds no room changes nothing and
    /// wakes no one: two writers would otherwise wake each other forever.
    pub fn write(&self, bytes: &mut Bytes) -> Written {
        if self.lock().is_full() {
            return Written::Full;
        }
        self.change(|state| state.write(bytes))
    }

    /// Copies as much as there is room for.
    fn copy(&self, bytes: &[u8]) -> Written {
        let room = self.lock().room();
        self.write(&mut Bytes::copy_from_slice(
            &bytes[..bytes.len().min(room.max(1))],
        ))
    }

    /// Ends the pipe: nothing more will be written.
    pub fn close(&self) {
        self.change(|state| {
            state.closed = true;
            state.wanted = false;
        });
    }

    /// A guest found nothing to read: it will be woken later, and the feeder of the pipe is notified now.
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
            BTreeMap::new()
        };
        drop(state);
        waker::notify_all(processes, Tag::Pipe);
        true
    }
}

/// The cursor cannot go beyond the largest possible memory.
const MAX_SEEK: u64 = 1 << 40;

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

/// Reads directly into a binary of the VM; `None` when a stream has nothing now.
fn take<'a>(env: Env<'a>, pipe: &PipeResource, limit: u64) -> Option<Term<'a>> {
    let _env = EnvScope::enter(env.as_c_arg());
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // Checked first: a read that finds nothing changes nothing and wakes no one.
    if !pipe.pipe.lock().readable() {
        return None;
    }
    let read = |state: &mut State| match (state.readable(), state.available()) {
        // Another reader was faster.
        (false, _) => None,
        (true, 0) => Some(atoms::eof().encode(env)),
        (true, available) => {
            let mut binary = NewBinary::new(env, available.min(limit));
            state.fill(binary.as_mut_slice());
            Some(Binary::from(binary).to_term(env))
        }
    };
    charge::timed(env, || pipe.pipe.change(read))
}

/// Whether a guest is waiting for bytes.
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
    if pipe.pipe.lock().has_large_gap() && dirty::is_normal() {
        let args = [pipe.encode(env), bytes.to_term(env)];
        return dirty::again(env, c"pipe_write", &args);
    }
    let _env = EnvScope::enter(env.as_c_arg());
    match charge::timed(env, || pipe.pipe.copy(&bytes)) {
        Written::Bytes(count) => (atoms::ok(), count).encode(env),
        Written::Closed => atoms::closed().encode(env),
        // Impossible: the writer holds it.
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
        // It has changed in the meantime: the message is sent at once.
        drop(state);
        waker::notify(env.pid(), Tag::Pipe, TermBox::new(reference));
    } else {
        state.forget_dead(env);
        state.processes.insert(env.pid(), TermBox::new(reference));
    }
    (tag, reference).encode(env)
}

/// The process no longer waits for the message; true when it was sent already.
#[rustler::nif]
fn pipe_stop_waiting(env: Env, pipe: ResourceArc<PipeResource>) -> bool {
    let waiting = pipe.pipe.lock().processes.remove(&env.pid());
    waiting.is_none()
}

#[rustler::nif]
fn pipe_close(env: Env, pipe: ResourceArc<PipeResource>) -> Atom {
    let _env = EnvScope::enter(env.as_c_arg());
    pipe.pipe.close();
    atoms::ok()
}
