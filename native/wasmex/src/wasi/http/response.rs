//! The body of an incoming response, limited in size and time. Its connection is kept if the body is read to the end,
//! and closed if it is dropped before.

use crate::wasi::http::connection::{AbortOnDrop, Connection};
use crate::wasi::http::error;
use crate::wasi::http::pool::Pool;
use crate::wasi::http::quota::Quota;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::Error;

/// The body of a response, as the guest reads it.
pub struct ResponseBody<P> {
    incoming: Incoming,
    /// Held as long as the exchange lasts.
    under_way: Option<UnderWay<P>>,
    cut: Arc<AtomicBool>,
    quota: Quota,
    between_bytes: Duration,
    deadline: Instant,
    /// Set while no data arrives.
    timer: Option<Pin<Box<Sleep>>>,
}

struct UnderWay<P> {
    connection: Connection,
    _place: P,
    /// For guests that do not read.
    _watch: AbortOnDrop,
    pool: Weak<Pool>,
}

impl<P: Unpin> ResponseBody<P> {
    /// `place` is released when the body has ended.
    pub fn new(
        incoming: Incoming,
        connection: Connection,
        place: P,
        pool: &Arc<Pool>,
        quota: Quota,
        (between_bytes, deadline): (Duration, Instant),
    ) -> Self {
        let mut body = ResponseBody {
            incoming,
            cut: connection.cut(),
            under_way: Some(UnderWay {
                _watch: connection.close_at(deadline),
                connection,
                _place: place,
                pool: Arc::downgrade(pool),
            }),
            quota,
            between_bytes,
            deadline,
            timer: None,
        };
        if body.incoming.is_end_stream() {
            body.ended();
        }
        body
    }

    /// The connection may serve another request, once this request's body is sent.
    fn ended(&mut self) {
        let Some(UnderWay {
            mut connection,
            pool,
            ..
        }) = self.under_way.take()
        else {
            return;
        };
        let deadline = self.deadline;
        tokio::spawn(async move {
            let ready = tokio::time::timeout_at(deadline, connection.ready()).await;
            if ready == Ok(true)
                && let Some(pool) = pool.upgrade()
            {
                pool.put(connection);
            }
        });
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.under_way = None;
        Poll::Ready(Some(Err(error)))
    }

    fn broken(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if Instant::now() >= self.deadline {
            return self.fail(Error::HttpResponseTimeout);
        }
        self.fail(error)
    }

    fn frame(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.timer = None;
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if let Err(limit) = self.quota.take(bytes) {
            return self.fail(Error::HttpResponseBodySize(Some(limit)));
        }
        // Nothing follows trailers, and their reader may not poll again.
        if frame.is_trailers() || self.incoming.is_end_stream() {
            self.ended();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let until = (Instant::now() + self.between_bytes).min(self.deadline);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        match timer.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => self.broken(Error::ConnectionReadTimeout),
        }
    }
}

impl<P: Unpin> Body for ResponseBody<P> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => self.frame(frame),
            Poll::Ready(Some(Err(error))) => self.broken(error::from_body(&error)),
            // hyper does not report connections closed by us.
            Poll::Ready(None) if self.under_way.is_some() && self.cut.load(Ordering::Acquire) => {
                self.broken(Error::HttpResponseIncomplete)
            }
            Poll::Ready(None) => {
                self.ended();
                Poll::Ready(None)
            }
            Poll::Pending => self.wait(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.under_way.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
