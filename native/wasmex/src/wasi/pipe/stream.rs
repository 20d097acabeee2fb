//! A pipe as the guest's standard input, output or error.

use crate::vm::pause::pause;
use crate::wasi::budget::Budget;
use crate::wasi::pipe::Pipe;
use crate::wasi::pipe::state::{Read, Written};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Bytes that a guest may write without asking again.
const CHUNK: usize = 64 * 1024;

/// Bytes that one slice copies: new pages take most of a millisecond.
const SLICE: usize = 1024 * 1024;

/// A pipe as a standard stream.
#[derive(Clone)]
pub struct PipeStream {
    /// The pipe.
    pub pipe: Arc<Pipe>,
    /// The remaining output budget, shared with other streams.
    pub budget: Option<Arc<Budget>>,
    /// The size up to which guests may fill a buffer without a capacity.
    pub most: usize,
}

impl PipeStream {
    /// Without limits.
    pub fn new(pipe: Arc<Pipe>) -> Self {
        PipeStream {
            pipe,
            budget: None,
            most: usize::MAX,
        }
    }

    /// Writes as much as there is room for; the rest remains in `bytes`.
    fn put(&self, bytes: &mut Bytes) -> StreamResult<Written> {
        let room = self.pipe.lock().room_within(self.most);
        let left = self
            .budget
            .as_ref()
            .map_or(usize::MAX, |budget| budget.left());
        let count = bytes.len().min(left);
        if let Some(budget) = &self.budget
            && count == 0
            && !bytes.is_empty()
        {
            return Err(StreamError::Trap(budget.spent().into()));
        }
        // The pipe itself reports that it is full, or closed.
        let mut allowed = bytes.split_to(count.min(room.max(1)));
        let written = match room {
            0 if !self.pipe.lock().is_stream() => Written::NoRoom,
            _ => self.pipe.write(&mut allowed),
        };
        if let (Written::Bytes(count), Some(budget)) = (&written, &self.budget) {
            budget.take(*count);
        }
        if !allowed.is_empty() {
            // Put back in front of the rest.
            let mut rest = bytes::BytesMut::from(&allowed[..]);
            rest.extend_from_slice(bytes);
            *bytes = rest.freeze();
        }
        Ok(written)
    }
}

impl IsTerminal for PipeStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for PipeStream {
    /// Only used by WASI 0.3, which is not supported.
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Input(self.clone()))
    }
}

impl StdoutStream for PipeStream {
    /// Only used by WASI 0.3, which is not supported.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Output {
            stream: self.clone(),
            written: 0,
        })
    }
}

struct Input(PipeStream);

struct Output {
    stream: PipeStream,
    /// Bytes since the last pause.
    written: usize,
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| match self.0.pipe.want(context.waker()) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.0.pipe.read(size.min(SLICE)) {
            Read::Bytes(bytes) => Ok(bytes),
            Read::Empty => Ok(Bytes::new()),
            Read::Eof | Read::Deserted => Err(StreamError::Closed),
        }
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        if self.written >= SLICE {
            self.written = 0;
            pause().await;
        }
        while self.stream.pipe.lock().fill_gap() {
            pause().await;
        }
        std::future::poll_fn(|context| {
            let mut state = self.stream.pipe.lock();
            if state.writable() {
                return Poll::Ready(());
            }
            state.wake_guest_later(context.waker());
            Poll::Pending
        })
        .await;
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        while !bytes.is_empty() {
            match self.stream.put(&mut bytes)? {
                Written::Bytes(count) => self.written += count,
                Written::Closed | Written::Deserted => return Err(StreamError::Closed),
                // `check_write` promised the room; another writer of the same pipe has used it.
                Written::Full | Written::NoRoom => return Err(no_room()),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let mut state = self.stream.pipe.lock();
        if state.closed {
            return Err(StreamError::Closed);
        }
        if state.has_large_gap() {
            // Nothing yet: `ready` fills it. Without memory for that, a guest would ask for ever.
            return match state.reserve_gap() {
                true => Ok(0),
                false => Err(no_room()),
            };
        }
        match state.room_within(self.stream.most) {
            0 if !state.is_stream() => Err(no_room()),
            room => Ok(room.min(CHUNK)),
        }
    }
}

fn no_room() -> StreamError {
    StreamError::LastOperationFailed(std::io::Error::from(std::io::ErrorKind::StorageFull).into())
}
