//! Pipes: bytes between Elixir and a guest's standard streams.
//!
//! A buffer keeps everything and has one cursor that both sides share. A stream is bounded: whoever
//! reads an empty one or writes a full one waits, a guest without a thread, Elixir for a message.

use crate::atoms;
use crate::handoff::EnvScope;
use crate::live::{Kind, Live};
use crate::module::binary;
use crate::term_box::TermBox;
use crate::waker::{self, Tag};
use rustler::{Atom, Binary, Encoder, Env, LocalPid, NifResult, Resource, ResourceArc, Term};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

pub struct PipeResource {
    pub pipe: Arc<Pipe>,
    _live: Live,
}

impl Resource for PipeResource {}
impl std::panic::RefUnwindSafe for PipeResource {}

pub struct Pipe(Mutex<State>);

pub struct State {
    bytes: Bytes,
    /// Bytes it may hold; `None` for no limit.
    capacity: Option<usize>,
    closed: bool,
    /// Guests that wait for bytes or room.
    guests: Vec<Waker>,
    /// Processes that do.
    processes: Vec<(LocalPid, TermBox)>,
}

enum Bytes {
    Buffer { data: Vec<u8>, cursor: usize },
    Stream(VecDeque<u8>),
}

/// What a read finds.
pub enum Read {
    Bytes(Vec<u8>),
    /// Nothing now, but there may be something later.
    Empty,
    Eof,
}

/// What a write comes to.
pub enum Written {
    Bytes(usize),
    /// No room now.
    Full,
    /// No room ever.
    NoRoom,
    Closed,
}

impl Pipe {
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
        for (pid, reference) in processes {
            waker::notify(pid, Tag::Pipe, reference);
        }
        result
    }

    pub fn read(&self, limit: usize) -> Read {
        self.change(|state| state.read(limit))
    }

    pub fn write(&self, bytes: &[u8]) -> Written {
        self.change(|state| state.write(bytes))
    }

    pub fn close(&self) {
        self.change(|state| state.closed = true);
    }
}

impl State {
    fn read(&mut self, limit: usize) -> Read {
        match &mut self.bytes {
            Bytes::Buffer { data, cursor } => {
                let start = (*cursor).min(data.len());
                let end = data.len().min(start.saturating_add(limit));
                if start == end {
                    return Read::Eof;
                }
                *cursor = end;
                Read::Bytes(data[start..end].to_vec())
            }
            Bytes::Stream(queue) if queue.is_empty() => {
                if self.closed {
                    Read::Eof
                } else {
                    Read::Empty
                }
            }
            Bytes::Stream(queue) => {
                let count = queue.len().min(limit);
                Read::Bytes(queue.drain(..count).collect())
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Written {
        if self.closed {
            return Written::Closed;
        }
        let room = self.room();
        if room == 0 && !bytes.is_empty() {
            return if matches!(self.bytes, Bytes::Stream(_)) {
                Written::Full
            } else {
                Written::NoRoom
            };
        }
        let bytes = &bytes[..bytes.len().min(room)];
        match &mut self.bytes {
            Bytes::Buffer { data, cursor } => {
                let end = *cursor + bytes.len();
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[*cursor..end].copy_from_slice(bytes);
                *cursor = end;
            }
            Bytes::Stream(queue) => queue.extend(bytes),
        }
        Written::Bytes(bytes.len())
    }

    /// Bytes that a write may add right now.
    pub fn room(&self) -> usize {
        let used = match &self.bytes {
            Bytes::Buffer { cursor, .. } => *cursor,
            Bytes::Stream(queue) => queue.len(),
        };
        self.capacity
            .map_or(usize::MAX, |capacity| capacity.saturating_sub(used))
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn is_stream(&self) -> bool {
        matches!(self.bytes, Bytes::Stream(_))
    }

    /// Whether a read would find bytes or the end.
    pub fn readable(&self) -> bool {
        match &self.bytes {
            Bytes::Buffer { .. } => true,
            Bytes::Stream(queue) => !queue.is_empty() || self.closed,
        }
    }

    /// Whether a write would do or fail for good.
    pub fn writable(&self) -> bool {
        self.closed || !self.is_stream() || self.room() > 0
    }

    pub fn wake_guest_later(&mut self, waker: &Waker) {
        if !self.guests.iter().any(|known| known.will_wake(waker)) {
            self.guests.push(waker.clone());
        }
    }
}

/// A cursor can't go where no memory could ever be.
const MAX_SEEK: u64 = 1 << 40;

#[rustler::nif]
fn pipe_new(mode: Atom, capacity: Option<u64>) -> NifResult<ResourceArc<PipeResource>> {
    let bytes = match mode {
        mode if mode == atoms::buffer() => Bytes::Buffer {
            data: Vec::new(),
            cursor: 0,
        },
        mode if mode == atoms::stream() => Bytes::Stream(VecDeque::new()),
        _ => return Err(rustler::Error::BadArg),
    };
    let capacity = capacity.map(|capacity| usize::try_from(capacity).unwrap_or(usize::MAX));
    let state = State {
        bytes,
        capacity,
        closed: false,
        guests: Vec::new(),
        processes: Vec::new(),
    };
    let pipe = Arc::new(Pipe(Mutex::new(state)));
    Ok(ResourceArc::new(PipeResource {
        pipe,
        _live: Live::new(Kind::Pipe),
    }))
}

#[rustler::nif]
fn pipe_size(pipe: ResourceArc<PipeResource>) -> usize {
    match &pipe.pipe.lock().bytes {
        Bytes::Buffer { data, .. } => data.len(),
        Bytes::Stream(queue) => queue.len(),
    }
}

#[rustler::nif]
fn pipe_mode(pipe: ResourceArc<PipeResource>) -> Atom {
    if pipe.pipe.lock().is_stream() {
        atoms::stream()
    } else {
        atoms::buffer()
    }
}

/// False for a stream, which has no positions.
#[rustler::nif]
fn pipe_seek(pipe: ResourceArc<PipeResource>, position: u64) -> NifResult<bool> {
    if position > MAX_SEEK {
        return Err(rustler::Error::BadArg);
    }
    match &mut pipe.pipe.lock().bytes {
        Bytes::Buffer { cursor, .. } => {
            *cursor = usize::try_from(position).map_err(|_| rustler::Error::BadArg)?
        }
        Bytes::Stream(_) => return Ok(false),
    }
    Ok(true)
}

/// A binary, `:eof`, or `{:empty, reference}`: a message `{:wasmex_pipe, reference}` follows.
#[rustler::nif]
fn pipe_read<'a>(env: Env<'a>, pipe: ResourceArc<PipeResource>, limit: u64) -> NifResult<Term<'a>> {
    let _env = EnvScope::enter(env.as_c_arg());
    match pipe.pipe.read(usize::try_from(limit).unwrap_or(usize::MAX)) {
        Read::Bytes(bytes) => binary(env, &bytes),
        Read::Eof => Ok(atoms::eof().encode(env)),
        Read::Empty => Ok(tell_later(env, &pipe, atoms::empty(), State::readable)),
    }
}

/// `{:ok, count}`, `:closed`, `:no_room`, or `{:full, reference}`.
#[rustler::nif]
fn pipe_write<'a>(env: Env<'a>, pipe: ResourceArc<PipeResource>, bytes: Binary<'a>) -> Term<'a> {
    let _env = EnvScope::enter(env.as_c_arg());
    match pipe.pipe.write(&bytes) {
        Written::Bytes(count) => (atoms::ok(), count).encode(env),
        Written::Closed => atoms::closed().encode(env),
        Written::NoRoom => atoms::no_room().encode(env),
        Written::Full => tell_later(env, &pipe, atoms::full(), State::writable),
    }
}

fn tell_later<'a>(
    env: Env<'a>,
    pipe: &PipeResource,
    tag: Atom,
    ready: fn(&State) -> bool,
) -> Term<'a> {
    let reference: Term = *env.make_ref();
    let mut state = pipe.pipe.lock();
    if ready(&state) {
        // It changed since: the message comes at once.
        drop(state);
        waker::notify(env.pid(), Tag::Pipe, TermBox::new(reference));
    } else {
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
