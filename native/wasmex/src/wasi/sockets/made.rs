//! Connections made by the host for a guest: to an Elixir process, or to a TLS server.
//!
//! The guest's end is one of a socket pair. The other belongs to Elixir, or to a task that adds TLS.

use crate::vm::atoms;
use crate::vm::resource::ResourceArc;
use crate::vm::runtime;
use crate::wasi::errno::{self, CONNABORTED, CONNREFUSED, Fail, TIMEDOUT};
use crate::wasi::http::tls::Connector;
use crate::wasi::sockets::answer::AnswerResource;
use crate::wasi::sockets::handle::EndResource;
use crate::wasi::sockets::pending::{Made, Pending};
use crate::wasi::sockets::system;
use rustix::fd::{AsRawFd, OwnedFd};
use rustler::{Encoder, OwnedEnv};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

/// The guest's end, and its connection state.
pub type Ends = (OwnedFd, Made);

/// Notifies the process that handles this address about a connection.
pub fn to_elixir(answer: &AnswerResource, peer: SocketAddr) -> Result<Ends, Fail> {
    let (theirs, ours) = system::pair()?;
    let pending = Arc::new(Pending::default());
    let decided = pending.clone();
    let number = ours.as_raw_fd();
    let end = ResourceArc::new(EndResource::new(ours));
    let pid = answer.pid;
    let runtime = runtime::get().ok_or(CONNREFUSED)?;
    // Not from here: this may be a scheduler, and the message has its own environment.
    runtime.spawn(async move {
        let sent = OwnedEnv::new().send_and_clear(&pid, |env| {
            let to = peer.to_string();
            (atoms::wasmex_dial(), end, number, to).encode(env)
        });
        decided.decide(sent.map_or(CONNREFUSED, |()| 0));
    });
    Ok((theirs, Made::new(pending, None, peer)))
}

/// Connects and performs a TLS handshake with a server that must prove to be `host`.
pub fn with_tls(
    connector: Arc<Connector>,
    host: String,
    peer: SocketAddr,
    timeout: Duration,
) -> Result<Ends, Fail> {
    let (theirs, ours) = system::pair()?;
    let pending = Arc::new(Pending::default());
    let decided = pending.clone();
    let runtime = runtime::get().ok_or(CONNREFUSED)?;
    let task = runtime.spawn(async move {
        let connecting = connect(&connector, &host, peer);
        let connected = match tokio::time::timeout(timeout, connecting).await {
            Ok(connected) => connected,
            Err(_elapsed) => Err(TIMEDOUT),
        };
        match connected {
            Ok(stream) => {
                decided.decide(0);
                pump(stream, ours, &decided, timeout).await;
            }
            Err(errno) => decided.decide(errno),
        }
    });
    Ok((theirs, Made::new(pending, Some(task.abort_handle()), peer)))
}

type Encrypted = tokio_rustls::client::TlsStream<TcpStream>;

async fn connect(connector: &Connector, host: &str, peer: SocketAddr) -> Result<Encrypted, i32> {
    let stream = TcpStream::connect(peer).await;
    let stream = stream.map_err(|error| errno::of(&error))?;
    let _ = stream.set_nodelay(true);
    // The server cannot prove its identity: no data was sent to it yet.
    let encrypted = connector.connect(host, stream).await;
    encrypted.map_err(|_| CONNABORTED)
}

/// Copies in both directions until both have ended. After the guest closes, its last data has limited time to arrive.
async fn pump(stream: Encrypted, ours: OwnedFd, pending: &Pending, timeout: Duration) {
    let Ok(ours) = UnixStream::from_std(StdUnixStream::from(ours)) else {
        return;
    };
    let (mut from_server, mut to_server) = tokio::io::split(stream);
    let (mut from_guest, mut to_guest) = ours.into_split();
    let outgoing = pin!(async {
        let _ = tokio::io::copy(&mut from_guest, &mut to_server).await;
        let _ = to_server.shutdown().await;
    });
    let incoming = pin!(async {
        let _ = tokio::io::copy(&mut from_server, &mut to_guest).await;
        let _ = to_guest.shutdown().await;
    });
    let left = pin!(async {
        pending.closed.notified().await;
        tokio::time::sleep(timeout).await;
    });
    until(both(outgoing, incoming), left).await;
}

type Part<'a, F> = Pin<&'a mut F>;

/// Waits for both.
async fn both<A: Future<Output = ()>, B: Future<Output = ()>>(
    mut one: Part<'_, A>,
    mut other: Part<'_, B>,
) {
    let mut done = (false, false);
    poll_fn(|cx| {
        done.0 = done.0 || one.as_mut().poll(cx).is_ready();
        done.1 = done.1 || other.as_mut().poll(cx).is_ready();
        match done {
            (true, true) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
}

/// Runs the work, until it must stop.
async fn until<A: Future<Output = ()>, B: Future<Output = ()>>(work: A, mut stop: Part<'_, B>) {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => stop.as_mut().poll(cx),
    })
    .await;
}
