//! Bodies of HTTP messages as pipes, in both directions.

use crate::wasi::pipe::Pipe;
use crate::wasi::pipe::state::{Read, Written};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime_wasi_http::{Error, WasiBody};

/// Maximum size of a frame.
const FRAME: usize = 64 * 1024;

/// A body read from a pipe, which its writer closes.
pub struct PipeBody(Arc<Pipe>);

impl PipeBody {
    /// Reads from this pipe.
    pub fn new(pipe: Arc<Pipe>) -> Self {
        PipeBody(pipe)
    }
}

impl Body for PipeBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            match self.0.read(FRAME) {
                Read::Bytes(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Read::Eof => return Poll::Ready(None),
                Read::Deserted => return Poll::Ready(Some(Err(Error::ConnectionTerminated))),
                Read::Empty if self.0.want(context.waker()) => return Poll::Pending,
                // It has changed in the meantime.
                Read::Empty => {}
            }
        }
    }
}

/// The rest will not be read: notifies the writer of the pipe.
impl Drop for PipeBody {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Copies a body into a pipe until either ends; false if the body was cut off. The pipe stays open.
pub async fn copy(mut body: WasiBody, pipe: &Pipe) -> bool {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return false;
        };
        if let Ok(bytes) = frame.into_data()
            && !write(pipe, bytes).await
        {
            return false;
        }
    }
    true
}

/// Waits for room; false if there is no reader any more.
pub async fn write(pipe: &Pipe, mut bytes: Bytes) -> bool {
    while !bytes.is_empty() {
        match pipe.write(&mut bytes) {
            Written::Bytes(_) => {}
            Written::Full => {
                std::future::poll_fn(|context| {
                    let mut state = pipe.lock();
                    if state.writable() {
                        return Poll::Ready(());
                    }
                    state.wake_guest_later(context.waker());
                    Poll::Pending
                })
                .await
            }
            Written::NoRoom | Written::Closed | Written::Deserted => return false,
        }
    }
    true
}
