//! A pipe as the guest's standard input, output or error.

use crate::pipe::{Pipe, Read, Written};
use async_trait::async_trait;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Bytes that a guest may write without asking again.
const CHUNK: usize = 64 * 1024;

#[derive(Clone)]
pub struct PipeStream(pub Arc<Pipe>);

impl PipeStream {
    async fn until(&self, ready: fn(&crate::pipe::State) -> bool) {
        std::future::poll_fn(|context| {
            let mut state = self.0.lock();
            if ready(&state) {
                return Poll::Ready(());
            }
            state.wake_guest_later(context.waker());
            Poll::Pending
        })
        .await;
    }
}

impl IsTerminal for PipeStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for PipeStream {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Input(self.clone()))
    }
}

impl StdoutStream for PipeStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Output(self.clone()))
    }
}

struct Input(PipeStream);
struct Output(PipeStream);

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        self.0.until(crate::pipe::State::readable).await;
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.0.0.read(size) {
            Read::Bytes(bytes) => Ok(bytes.into()),
            Read::Empty => Ok(Bytes::new()),
            Read::Eof => Err(StreamError::Closed),
        }
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        self.0.until(crate::pipe::State::writable).await;
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match self.0.0.write(rest) {
                Written::Bytes(count) => rest = &rest[count..],
                Written::Closed => return Err(StreamError::Closed),
                // `check_write` has promised the room; another writer of the same pipe took it.
                Written::Full | Written::NoRoom => return Err(no_room()),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let state = self.0.0.lock();
        if state.is_closed() {
            return Err(StreamError::Closed);
        }
        match state.room() {
            0 if !state.is_stream() => Err(no_room()),
            room => Ok(room.min(CHUNK)),
        }
    }
}

fn no_room() -> StreamError {
    StreamError::LastOperationFailed(std::io::Error::from(std::io::ErrorKind::StorageFull).into())
}

impl AsyncRead for PipeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.0.read(buffer.remaining()) {
            Read::Bytes(bytes) => buffer.put_slice(&bytes),
            Read::Eof => {}
            Read::Empty => {
                self.0.lock().wake_guest_later(context.waker());
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PipeStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.0.write(bytes) {
            Written::Bytes(count) => Poll::Ready(Ok(count)),
            Written::Closed => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
            Written::NoRoom => Poll::Ready(Err(std::io::ErrorKind::StorageFull.into())),
            Written::Full => {
                self.0.lock().wake_guest_later(context.waker());
                Poll::Pending
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
