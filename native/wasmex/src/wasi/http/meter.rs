//! A stream that limits the bytes read before the response head is complete.
//!
//! hyper limits one head, but not the number of informational heads before it.

use crate::wasi::http::error::HeadTooLarge;
use crate::wasi::http::limits::HEAD;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The heads, plus the part of the body that arrives in the same read.
const ALLOWED: usize = 2 * HEAD;

const UNLIMITED: usize = usize::MAX;

/// Remaining bytes.
pub struct Meter(AtomicUsize);

impl Meter {
    /// A meter that expects a head.
    pub fn new() -> Arc<Self> {
        Arc::new(Meter(AtomicUsize::new(ALLOWED)))
    }

    /// A request is sent: expects the head of its response.
    pub fn expect_head(&self) {
        self.0.store(ALLOWED, Ordering::Relaxed);
    }

    /// The head is complete; the body has its own limits.
    pub fn head_is_there(&self) {
        self.0.store(UNLIMITED, Ordering::Relaxed);
    }

    fn take(&self, count: usize) {
        let left = self.0.load(Ordering::Relaxed);
        if left != UNLIMITED {
            // If it was reset in the meantime, that value stays.
            let less = left.saturating_sub(count);
            let _ = self
                .0
                .compare_exchange(left, less, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// Bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A stream that limits what is read before the head is complete.
pub struct Metered {
    io: Box<dyn Io>,
    meter: Arc<Meter>,
}

impl Metered {
    /// A stream with this meter.
    pub fn new(io: Box<dyn Io>, meter: Arc<Meter>) -> Self {
        Metered { io, meter }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.0.load(Ordering::Relaxed) == 0 {
            return Poll::Ready(Err(io::Error::other(HeadTooLarge)));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        self.meter.take(buffer.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
