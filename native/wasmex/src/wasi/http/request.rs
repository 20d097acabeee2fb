//! The body of an outgoing request: limited, and cut off for the server too if the guest aborts it.

use crate::wasi::http::limits::{FIELDS, HEAD};
use crate::wasi::http::quota::Quota;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error, WasiBody};

/// How long a request waits for the end of its body, which guests usually write right after sending the request. A
/// short body is then sent with its length, together with the head, and an empty one not at all: some servers fail on a
/// `GET` with an empty chunked body.
const GRACE: Duration = Duration::from_millis(20);

/// A longer body does not wait.
const SHORT: u64 = 64 * 1024;

/// The body of a request, as hyper reads it.
pub struct RequestBody {
    /// `None` when it has ended.
    inner: Option<WasiBody>,
    /// It ended with an error.
    broken: bool,
    /// Data read ahead.
    ahead: VecDeque<Frame<Bytes>>,
    quota: Quota,
    /// True once the guest cannot continue: an apparent end is then an error.
    closed: watch::Receiver<bool>,
    failure: Failure,
}

/// Why the body was cut off, for the task that waits for the response.
#[derive(Clone, Default)]
pub struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    fn set(&self, error: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Takes the error.
    pub fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// All that hyper is told; the reason is in the `Failure`.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request was aborted")
    }
}

impl std::error::Error for Broken {}

impl RequestBody {
    /// The body of a guest's request.
    pub fn new(inner: WasiBody, quota: Quota, closed: watch::Receiver<bool>) -> Self {
        RequestBody {
            inner: (!inner.is_end_stream()).then_some(inner),
            broken: false,
            ahead: VecDeque::new(),
            quota,
            closed,
            failure: Failure::default(),
        }
    }

    /// The same without a body.
    pub fn empty(&self) -> Self {
        RequestBody {
            inner: None,
            broken: false,
            ahead: VecDeque::new(),
            quota: self.quota.clone(),
            closed: self.closed.clone(),
            failure: self.failure.clone(),
        }
    }

    /// Whether the body has no bytes.
    pub fn is_empty(&self) -> bool {
        self.inner.is_none() && self.ahead.is_empty() && !self.broken
    }

    /// Where to find the error if the body fails.
    pub fn failure(&self) -> Failure {
        self.failure.clone()
    }

    /// Waits briefly for the body to end.
    pub async fn look(mut self) -> Self {
        let until = Instant::now() + GRACE;
        let mut ahead = VecDeque::new();
        while length(&ahead) < SHORT
            && let Ok(Some(Ok(frame))) = timeout_at(until, self.frame()).await
        {
            ahead.push_back(frame);
        }
        self.ahead = ahead;
        self
    }

    fn check(&mut self, frame: &Frame<Bytes>) -> Result<(), Error> {
        if let Some(bytes) = frame.data_ref() {
            return match self.quota.take(bytes.len()) {
                Ok(()) => Ok(()),
                Err(limit) => Err(Error::HttpRequestBodySize(Some(limit))),
            };
        }
        match frame.trailers_ref() {
            Some(trailers) if !fits(trailers, 0) => {
                Err(Error::HttpRequestTrailerSectionSize(Some(HEAD as u32)))
            }
            _ => Ok(()),
        }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.inner = None;
        self.broken = true;
        self.failure.set(error);
        Poll::Ready(Some(Err(Broken)))
    }
}

fn length(frames: &VecDeque<Frame<Bytes>>) -> u64 {
    let data = frames.iter().filter_map(Frame::data_ref);
    data.map(|bytes| bytes.len() as u64).sum()
}

/// Whether fields, after this many bytes, fit the limits of a head.
pub fn fits(fields: &HeaderMap, before: usize) -> bool {
    let bytes: usize = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    fields.len() <= FIELDS && before + bytes <= HEAD
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(frame) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(self.broken.then_some(Err(Broken)));
        };
        match Pin::new(inner).poll_frame(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => match self.check(&frame) {
                Ok(()) => Poll::Ready(Some(Ok(frame))),
                Err(error) => self.fail(error),
            },
            Poll::Ready(Some(Err(error))) => self.fail(error),
            // The handle of a stopped guest was dropped, which looks the same as a finished body.
            Poll::Ready(None) if *self.closed.borrow() => self.fail(Error::ConnectionTerminated),
            Poll::Ready(None) => {
                self.inner = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            None if !self.broken && !self.ahead.iter().any(Frame::is_trailers) => {
                SizeHint::with_exact(length(&self.ahead))
            }
            _ => SizeHint::new(),
        }
    }
}
