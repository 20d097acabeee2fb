//! A request body of known length, supplied in chunks as the network takes them.

use bytes::Bytes;
use http_body::{Body, Frame};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wasmtime_wasi_http::Error;

/// Chunk size in bytes.
pub const PIECE: u64 = 128 * 1024;

#[derive(Default)]
struct Between {
    piece: Option<Bytes>,
    /// All chunks have been supplied.
    ended: bool,
    /// The supplier stopped early.
    gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The supplier's side. Dropped before the last chunk, it cuts the body off.
pub struct Pieces {
    between: Arc<Mutex<Between>>,
    /// Offsets of the next chunk and of the end.
    next: u64,
    end: u64,
}

/// The body's side: reads the bytes from `start` on.
pub struct PiecesBody(Arc<Mutex<Between>>);

/// Both sides, for the bytes from `start` on.
pub fn pieces(start: u64, length: u64) -> (Pieces, PiecesBody) {
    let between = Arc::new(Mutex::new(Between {
        ended: length == 0,
        ..Between::default()
    }));
    let owner = Pieces {
        between: between.clone(),
        next: start,
        end: start.saturating_add(length),
    };
    (owner, PiecesBody(between))
}

fn lock(between: &Mutex<Between>) -> MutexGuard<'_, Between> {
    between.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pieces {
    /// Supplies the next chunk if there is room, otherwise registers for a wake-up. `read` gets the offset and the
    /// length.
    pub fn poll(&mut self, context: &Context<'_>, read: impl FnOnce(u64, u64) -> Bytes) {
        let mut between = lock(&self.between);
        between.writer = Some(context.waker().clone());
        if between.piece.is_some() || self.next == self.end {
            return;
        }
        let length = (self.end - self.next).min(PIECE);
        between.piece = Some(read(self.next, length));
        self.next += length;
        between.ended = self.next == self.end;
        let reader = between.reader.take();
        drop(between);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let mut between = lock(&self.between);
        between.gone = true;
        let reader = between.reader.take();
        drop(between);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Body for PiecesBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut between = lock(&self.0);
        if let Some(piece) = between.piece.take() {
            let writer = between.writer.take();
            drop(between);
            if let Some(writer) = writer {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if between.ended {
            return Poll::Ready(None);
        }
        if between.gone {
            return Poll::Ready(Some(Err(Error::ConnectionTerminated)));
        }
        between.reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let between = lock(&self.0);
        between.ended && between.piece.is_none()
    }
}
