//! A connection that the host makes for a component: its state while connecting, and its two streams.

use crate::vm::runtime;
use crate::wasi::errno;
use crate::wasi::sockets::made::Ends;
use crate::wasi::sockets::pending::Made;
use bytes::Bytes;
use rustix::fd::OwnedFd;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::p2::bindings::sockets::tcp::ShutdownType;
use wasmtime_wasi::p2::pipe::{AsyncReadStream, AsyncWriteStream};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

/// Bytes that the guest may write ahead of the peer.
const WRITE_BUFFER: usize = 64 * 1024;

/// A stream, until it is shut down; shared by the socket and the guest's handle.
type Half<T> = Arc<Mutex<Option<T>>>;

/// A connection.
pub struct Connection {
    made: Arc<Made>,
    /// Until the guest has taken its streams.
    end: Option<OwnedFd>,
    input: Half<AsyncReadStream>,
    output: Half<AsyncWriteStream>,
}

impl Connection {
    /// Connecting.
    pub fn new((end, made): Ends) -> Self {
        Connection {
            made: Arc::new(made),
            end: Some(end),
            input: Half::default(),
            output: Half::default(),
        }
    }

    /// Why the socket cannot connect again.
    pub fn busy(&self) -> ErrorCode {
        match self.end {
            Some(_) => ErrorCode::ConcurrencyConflict,
            None => ErrorCode::InvalidState,
        }
    }

    /// Its streams, once.
    pub fn finish(&mut self) -> Result<(DynInputStream, DynOutputStream), ErrorCode> {
        match self.made.state() {
            errno::INPROGRESS => return Err(ErrorCode::WouldBlock),
            0 => {}
            failed => {
                self.end = None;
                return Err(code(failed));
            }
        }
        let end = self.end.take().ok_or(ErrorCode::NotInProgress)?;
        let runtime = runtime::get().ok_or(ErrorCode::OutOfMemory)?;
        let _reach = runtime.enter();
        let stream = UnixStream::from_std(StdUnixStream::from(end));
        let (input, output) = stream.map_err(|_| ErrorCode::Unknown)?.into_split();
        let input = Some(AsyncReadStream::new(input));
        let output = Some(AsyncWriteStream::new(WRITE_BUFFER, output));
        self.input = Arc::new(Mutex::new(input));
        self.output = Arc::new(Mutex::new(output));
        Ok((
            Box::new(Input(self.input.clone())),
            Box::new(Output(self.output.clone())),
        ))
    }

    /// The peer address shown to the guest.
    pub fn peer(&self) -> Result<SocketAddr, ErrorCode> {
        match (&self.end, self.made.state()) {
            (None, 0) => Ok(self.made.peer),
            _ => Err(ErrorCode::InvalidState),
        }
    }

    /// Ready once it is connected or has failed to be.
    pub fn waiting(&self) -> Waiting {
        Waiting(self.made.clone())
    }

    /// Shuts down one direction, or both, after sending all written data.
    pub fn shutdown(&self, how: ShutdownType) -> Result<(), ErrorCode> {
        self.peer()?;
        if let ShutdownType::Receive | ShutdownType::Both = how {
            take(&self.input);
        }
        if let ShutdownType::Send | ShutdownType::Both = how
            && let Some(mut output) = take(&self.output)
            && let Some(runtime) = runtime::get()
        {
            runtime.spawn(async move { drain(&mut output).await });
        }
        Ok(())
    }
}

/// Never contended: a guest does one thing at a time.
fn take<T>(half: &Half<T>) -> Option<T> {
    half.try_lock().ok()?.take()
}

async fn drain(output: &mut AsyncWriteStream) {
    if output.flush().is_ok() {
        output.ready().await;
    }
}

fn code(errno: i32) -> ErrorCode {
    match errno {
        errno::CONNABORTED => ErrorCode::ConnectionAborted,
        errno::TIMEDOUT => ErrorCode::Timeout,
        _ => ErrorCode::ConnectionRefused,
    }
}

/// Waits until it is connected.
pub struct Waiting(Arc<Made>);

#[wasmtime_wasi::async_trait]
impl Pollable for Waiting {
    async fn ready(&mut self) {
        poll_fn(|cx| self.0.poll(cx).map(|_| ())).await;
    }
}

struct Input(Half<AsyncReadStream>);

#[wasmtime_wasi::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        if let Some(input) = &mut *self.0.lock().await {
            input.ready().await;
        }
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.0.try_lock().ok().as_deref_mut() {
            Some(Some(input)) => input.read(size),
            _ => Err(StreamError::Closed),
        }
    }
}

struct Output(Half<AsyncWriteStream>);

impl Output {
    fn with<T>(
        &self,
        call: impl FnOnce(&mut AsyncWriteStream) -> StreamResult<T>,
    ) -> StreamResult<T> {
        match self.0.try_lock().ok().as_deref_mut() {
            Some(Some(output)) => call(output),
            _ => Err(StreamError::Closed),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        if let Some(output) = &mut *self.0.lock().await {
            output.ready().await;
        }
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.with(|output| output.write(bytes))
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.with(AsyncWriteStream::flush)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.with(AsyncWriteStream::check_write)
    }

    /// The guest drops it: data already written is still sent.
    async fn cancel(&mut self) {
        if let Some(output) = &mut *self.0.lock().await {
            drain(output).await;
        }
    }
}
