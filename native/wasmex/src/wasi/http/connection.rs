//! One connection to a server, and the task that runs it.

use crate::vm::live::{Kind, Live};
use crate::wasi::http::error;
use crate::wasi::http::limits::{FIELDS, HEAD};
use crate::wasi::http::meter::{Io, Meter, Metered};
use crate::wasi::http::request::RequestBody;
use crate::wasi::http::target::Target;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::io::TokioIo;

/// Dropping it closes the connection.
pub struct Connection {
    pub target: Target,
    sender: SendRequest<RequestBody>,
    meter: Arc<Meter>,
    cut: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Connection {
    /// `place` is released when the connection is closed, which happens at once when the client is dropped.
    pub async fn open(
        target: Target,
        io: Box<dyn Io>,
        place: OwnedSemaphorePermit,
        mut closed: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let meter = Meter::new();
        let io = TokioIo::new(Metered::new(io, meter.clone()));
        let (sender, connection) = Builder::new()
            .max_buf_size(HEAD)
            .max_header_size(HEAD)
            .max_headers(FIELDS)
            .handshake(io)
            .await
            .map_err(|error| error::from_hyper(&error))?;
        let cut = Arc::new(AtomicBool::new(false));
        let marked = cut.clone();
        let live = Live::new(Kind::Connection);
        let task = tokio::spawn(async move {
            let _held = (place, live);
            let mut connection = pin!(connection);
            let mut ending = Cut(Some(marked));
            let mut closed = pin!(closed.wait_for(|closed| *closed));
            let ended = std::future::poll_fn(|context| {
                if closed.as_mut().poll(context).is_ready() {
                    return Poll::Ready(false);
                }
                connection.as_mut().poll(context).map(|_ended| true)
            });
            if ended.await {
                ending.0 = None;
            }
        });
        Ok(Connection {
            target,
            sender,
            meter,
            cut,
            task,
        })
    }

    /// Sends a request, and waits for the head of the response.
    pub async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.meter.expect_head();
        let response = self.sender.send_request(request).await?;
        self.meter.head_is_there();
        Ok(response)
    }

    /// Waits until another request can be sent; false if none can.
    pub async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Whether it can send another request.
    pub fn is_ready(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed()
    }

    /// Tells whether the end of a body was caused by cutting it off, which hyper does not report.
    pub fn cut(&self) -> Arc<AtomicBool> {
        self.cut.clone()
    }

    /// Closes it immediately. The task ends with its handle.
    pub fn close_at(&self, deadline: Instant) -> AbortOnDrop {
        let task = self.task.abort_handle();
        AbortOnDrop(tokio::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            task.abort();
        }))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Dropped before hyper's connection, it marks the current body as cut off.
struct Cut(Option<Arc<AtomicBool>>);

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(cut) = &self.0 {
            cut.store(true, Ordering::Release);
        }
    }
}

/// A task that is aborted when this is dropped.
pub struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
