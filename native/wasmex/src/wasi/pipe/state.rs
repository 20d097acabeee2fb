//! The content of a pipe, and the readers and writers waiting for a change.

use crate::vm::janitor;
use crate::vm::term_box::TermBox;
use crate::wasi::pipe::byte_queue::ByteQueue;
use bytes::Bytes;
use rustler::{Env, LocalPid};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::task::Waker;

/// A write at a later position fills at most this many bytes in between with zeros.
const MAX_GAP: usize = 64 << 20;

/// The part of them that a scheduler fills in one go.
const GAP: usize = 1 << 20;

/// The content of a pipe, and its waiters.
pub struct State {
    /// The bytes.
    pub content: Content,
    /// Capacity in bytes; `None` for no limit.
    capacity: Option<usize>,
    /// The writer has closed it.
    pub closed: bool,
    /// One end belongs to Elixir and the other to a guest, exclusively.
    pub own: bool,
    /// Elixir has dropped its handle of an exclusive pipe.
    pub deserted: bool,
    /// A guest is waiting for bytes, and none have arrived since.
    pub wanted: bool,
    /// Guests waiting for bytes or room.
    pub guests: Vec<Waker>,
    /// Processes waiting for bytes or room.
    pub processes: BTreeMap<LocalPid, TermBox>,
    /// The last of them that was known to be alive.
    checked: Option<LocalPid>,
}

/// The bytes of a pipe.
pub enum Content {
    /// Everything written, and the shared cursor.
    Buffer { data: Vec<u8>, cursor: usize },
    /// Bytes written but not read yet.
    Stream(ByteQueue),
}

/// More bytes than this take too long to free on a scheduler.
const LARGE: usize = 16 << 20;

impl Drop for State {
    fn drop(&mut self) {
        match &mut self.content {
            Content::Buffer { data, .. } if data.capacity() > LARGE => {
                janitor::drop_elsewhere(std::mem::take(data));
            }
            Content::Stream(queue) if queue.len() > LARGE => {
                janitor::drop_elsewhere(std::mem::take(queue));
            }
            _ => {}
        }
    }
}

/// The result of a read.
pub enum Read {
    Bytes(Bytes),
    /// Nothing now, maybe later.
    Empty,
    Eof,
    /// Cut off: the writer is gone without closing it.
    Deserted,
}

/// The result of a write.
pub enum Written {
    Bytes(usize),
    /// No room now.
    Full,
    /// Never enough room.
    NoRoom,
    Closed,
    /// There is no reader any more.
    Deserted,
}

impl State {
    /// Without a capacity it is unbounded.
    pub fn new(content: Content, capacity: Option<usize>) -> Self {
        State {
            content,
            capacity,
            closed: false,
            own: false,
            deserted: false,
            wanted: false,
            guests: Vec::new(),
            processes: BTreeMap::new(),
            checked: None,
        }
    }

    /// Takes up to `limit` bytes.
    pub fn read(&mut self, limit: usize) -> Read {
        if !self.readable() {
            return Read::Empty;
        }
        if limit == 0 {
            return Read::Bytes(Bytes::new());
        }
        let bytes = match &mut self.content {
            Content::Buffer { data, cursor } => {
                let start = (*cursor).min(data.len());
                let end = data.len().min(start.saturating_add(limit));
                *cursor = end.max(*cursor);
                Bytes::copy_from_slice(&data[start..end])
            }
            Content::Stream(queue) => queue.pop(limit),
        };
        if bytes.is_empty() && self.deserted && !self.closed {
            Read::Deserted
        } else if bytes.is_empty() {
            Read::Eof
        } else {
            Read::Bytes(bytes)
        }
    }

    /// Adds bytes; those that do not fit remain in `bytes`.
    pub fn write(&mut self, bytes: &mut Bytes) -> Written {
        if self.closed {
            return Written::Closed;
        }
        if self.deserted {
            return Written::Deserted;
        }
        let room = self.room();
        if room == 0 && !bytes.is_empty() {
            return if self.is_stream() {
                Written::Full
            } else {
                Written::NoRoom
            };
        }
        let count = bytes.len().min(room);
        if !self.content.reserve(count) {
            return Written::NoRoom;
        }
        let bytes = bytes.split_to(count);
        self.wanted = false;
        match &mut self.content {
            Content::Buffer { data, cursor } => {
                let end = *cursor + count;
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[*cursor..end].copy_from_slice(&bytes);
                *cursor = end;
            }
            Content::Stream(queue) => queue.push(bytes),
        }
        Written::Bytes(count)
    }

    /// Number of bytes that can be read.
    pub fn available(&self) -> usize {
        match &self.content {
            Content::Buffer { data, cursor } => data.len().saturating_sub(*cursor),
            Content::Stream(queue) => queue.len(),
        }
    }

    /// Fills `target`, which must not be longer than the available bytes.
    pub fn fill(&mut self, target: &mut [u8]) {
        match &mut self.content {
            Content::Buffer { data, cursor } => {
                let end = *cursor + target.len();
                target.copy_from_slice(&data[*cursor..end]);
                *cursor = end;
            }
            Content::Stream(queue) => queue.fill(target),
        }
    }

    /// Number of bytes that can be written now.
    pub fn room(&self) -> usize {
        let used = match &self.content {
            Content::Buffer { cursor, .. } => *cursor,
            Content::Stream(queue) => queue.len(),
        };
        self.capacity
            .map_or(usize::MAX, |capacity| capacity.saturating_sub(used))
    }

    /// Whether a write would fill so much with zeros first that it takes long.
    pub fn has_large_gap(&self) -> bool {
        (GAP + 1..=MAX_GAP).contains(&self.content.gap())
    }

    /// Whether there is memory for the next part of a large gap.
    pub fn reserve_gap(&mut self) -> bool {
        match &mut self.content {
            Content::Buffer { data, .. } => data.try_reserve(GAP).is_ok(),
            Content::Stream(_) => false,
        }
    }

    /// Fills a part of a large gap with zeros; false if there is none, or no memory for it.
    pub fn fill_gap(&mut self) -> bool {
        if !self.has_large_gap() || !self.reserve_gap() {
            return false;
        }
        if let Content::Buffer { data, .. } = &mut self.content {
            data.resize(data.len() + GAP, 0);
        }
        true
    }

    /// Number of bytes that a guest can write now, if it may fill a buffer without a capacity up to `most` bytes.
    pub fn room_within(&self, most: usize) -> usize {
        match (&self.content, self.capacity) {
            (Content::Buffer { cursor, .. }, None) => most.saturating_sub(*cursor),
            _ => self.room(),
        }
    }

    /// Whether it is a stream.
    pub fn is_stream(&self) -> bool {
        matches!(self.content, Content::Stream(_))
    }

    /// Whether a read would return bytes or the end.
    pub fn readable(&self) -> bool {
        match &self.content {
            Content::Buffer { .. } => true,
            Content::Stream(queue) => !queue.is_empty() || self.closed || self.deserted,
        }
    }

    /// Whether a write would have to wait.
    pub fn is_full(&self) -> bool {
        !self.writable()
    }

    /// Whether a write would succeed or fail without waiting.
    pub fn writable(&self) -> bool {
        self.closed || self.deserted || !self.is_stream() || self.room() > 0
    }

    /// Removes the next waiting processes that are dead, at most two. One is added afterwards, so that many dead ones do
    /// not gather, and it never takes long.
    pub fn forget_dead(&mut self, env: Env) {
        for _ in 0..2 {
            let after = self.checked.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.processes.range((after, Bound::Unbounded)).next();
            match next.map(|(pid, _)| *pid) {
                Some(pid) if !pid.is_alive(env) => {
                    self.processes.remove(&pid);
                }
                // After the last one, the first is next.
                next => self.checked = next,
            }
        }
    }

    /// Wakes waiters if the pipe has changed.
    pub fn wake_guest_later(&mut self, waker: &Waker) {
        if !self.guests.iter().any(|known| known.will_wake(waker)) {
            self.guests.push(waker.clone());
        }
    }
}

impl Content {
    /// The bytes between the end and a later position.
    fn gap(&self) -> usize {
        match self {
            Content::Buffer { data, cursor } => cursor.saturating_sub(data.len()),
            Content::Stream(_) => 0,
        }
    }

    /// False if the bytes up to and including these do not fit in memory.
    fn reserve(&mut self, count: usize) -> bool {
        if self.gap() > MAX_GAP {
            return false;
        }
        let Content::Buffer { data, cursor } = self else {
            return true;
        };
        let end = cursor.saturating_add(count);
        data.try_reserve(end.saturating_sub(data.len())).is_ok()
    }
}
