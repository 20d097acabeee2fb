//! The VM's own standard output and error, for guests.
//!
//! A slow reader must not block a scheduler: one thread per stream writes the output of guests, one chunk per guest in
//! turn, and a guest that prints more waits as for a pipe.

use crate::vm::atoms;
use crate::wasi::budget::Budget;
use async_trait::async_trait;
use bytes::Bytes;
use rustler::{Atom, Binary, Encoder, Env, Term};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::sync::oneshot;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Bytes that a guest may write without asking again.
const CHUNK: usize = 64 * 1024;

/// Interval between attempts on a non-blocking stream that is full.
const PAUSE: Duration = Duration::from_millis(5);

/// One of the VM's own streams.
#[derive(Clone, Copy)]
pub enum Which {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// One of the VM's own streams as a guest's.
pub struct Inherited {
    /// Which one.
    pub which: Which,
    /// The remaining output budget, shared with other streams.
    pub budget: Option<Arc<Budget>>,
}

impl IsTerminal for Inherited {
    fn is_terminal(&self) -> bool {
        match self.which {
            Which::Output => std::io::IsTerminal::is_terminal(&std::io::stdout()),
            Which::Error => std::io::IsTerminal::is_terminal(&std::io::stderr()),
        }
    }
}

impl StdoutStream for Inherited {
    /// Only used by WASI 0.3, which is not supported.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Stream {
            which: self.which,
            budget: self.budget.clone(),
            state: State::Ready,
        })
    }
}

struct Stream {
    which: Which,
    budget: Option<Arc<Budget>>,
    state: State,
}

enum State {
    Ready,
    /// The thread has a chunk of this guest and will report when it is written.
    Writing(oneshot::Receiver<std::io::Result<()>>),
    Failed(std::io::Error),
}

impl State {
    fn after(written: Result<std::io::Result<()>, oneshot::error::RecvError>) -> Self {
        match written {
            Ok(Ok(())) => State::Ready,
            Ok(Err(error)) => State::Failed(error),
            Err(_) => State::Failed(ErrorKind::BrokenPipe.into()),
        }
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {
        if let State::Writing(written) = &mut self.state {
            self.state = State::after(written.await);
        }
    }
}

#[async_trait]
impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(budget) = &self.budget {
            if bytes.len() > budget.left() {
                return Err(StreamError::Trap(budget.spent().into()));
            }
            budget.take(bytes.len());
        }
        let (done, written) = oneshot::channel();
        let chunk = Chunk { bytes, done };
        send(self.which, chunk).map_err(|error| StreamError::LastOperationFailed(error.into()))?;
        self.state = State::Writing(written);
        Ok(())
    }

    /// Nothing is buffered here; `ready` waits until everything is written.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if let State::Writing(written) = &mut self.state {
            match written.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return Ok(0),
                Err(oneshot::error::TryRecvError::Closed) => {
                    self.state = State::Failed(ErrorKind::BrokenPipe.into());
                }
                Ok(result) => self.state = State::after(Ok(result)),
            }
        }
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
            _ => Ok(CHUNK),
        }
    }
}

struct Chunk {
    bytes: Bytes,
    done: oneshot::Sender<std::io::Result<()>>,
}

/// The threads, once something was printed.
static THREADS: Mutex<[Option<Sender<Chunk>>; 2]> = Mutex::new([None, None]);

fn send(which: Which, chunk: Chunk) -> std::io::Result<()> {
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let slot = &mut threads[which as usize];
    let sender = match slot {
        Some(sender) => sender,
        None => slot.insert(start(which)?),
    };
    sender.send(chunk).map_err(|_| ErrorKind::BrokenPipe.into())
}

fn start(which: Which) -> std::io::Result<Sender<Chunk>> {
    let (stream, name) = match which {
        Which::Output => (duplicate(&std::io::stdout())?, "wasmex-stdout"),
        Which::Error => (duplicate(&std::io::stderr())?, "wasmex-stderr"),
    };
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || run(which, stream, &receiver))?;
    Ok(sender)
}

/// The same stream without the standard library's buffer and lock.
#[cfg(unix)]
fn duplicate(stream: &impl std::os::fd::AsFd) -> std::io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

/// As above.
#[cfg(windows)]
fn duplicate(stream: &impl std::os::windows::io::AsHandle) -> std::io::Result<File> {
    Ok(stream.as_handle().try_clone_to_owned()?.into())
}

fn run(which: Which, mut stream: File, chunks: &Receiver<Chunk>) {
    while let Ok(Chunk { bytes, done }) = chunks.recv() {
        let written = write(&mut stream, &bytes);
        if let Err(error) = &written {
            failures()[which as usize].get_or_insert_with(|| (error.kind(), error.to_string()));
        }
        // The waiter may be gone.
        let _ = done.send(written);
    }
}

/// The first failure of each stream, reported when the guest has ended.
static FAILURES: Mutex<[Option<(ErrorKind, String)>; 2]> = Mutex::new([None, None]);

fn failures() -> MutexGuard<'static, [Option<(ErrorKind, String)>; 2]> {
    FAILURES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes bytes to the VM's standard output, after what guests print there. `stdio_finish` tells whether it failed.
#[rustler::nif(schedule = "DirtyCpu")]
fn stdio_print(bytes: Binary) -> Atom {
    let (done, _written) = oneshot::channel();
    let bytes = Bytes::copy_from_slice(bytes.as_slice());
    if let Err(error) = send(Which::Output, Chunk { bytes, done }) {
        failures()[Which::Output as usize].get_or_insert_with(|| (error.kind(), error.to_string()));
    }
    atoms::ok()
}

/// Waits until all output of guests to the VM's own streams is written, and returns the failures since the last call:
/// for each stream nil, `:pipe` when its reader is gone, or a text.
#[rustler::nif(schedule = "DirtyIo")]
fn stdio_finish<'a>(env: Env<'a>) -> Vec<Term<'a>> {
    let pending = {
        let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        threads.each_ref().map(|sender| {
            let (done, written) = oneshot::channel();
            let chunk = Chunk {
                bytes: Bytes::new(),
                done,
            };
            let sent = sender.as_ref().map(|sender| sender.send(chunk));
            matches!(sent, Some(Ok(()))).then_some(written)
        })
    };
    for written in pending.into_iter().flatten() {
        let _ = written.blocking_recv();
    }
    let failed = std::mem::take(&mut *failures());
    failed
        .into_iter()
        .map(|failure| match failure {
            None => atoms::nil().encode(env),
            Some((ErrorKind::BrokenPipe, _)) => atoms::pipe().encode(env),
            Some((_, text)) => text.encode(env),
        })
        .collect()
}

/// Writes all of it, even if the VM has made the stream non-blocking.
fn write(stream: &mut File, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
