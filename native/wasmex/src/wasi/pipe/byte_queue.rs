//! The bytes of a stream pipe, in whole segments: large ones are passed on without copying.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Shorter writes are merged: a segment for each would cost more than the copy.
const SMALL: usize = 4096;

/// The bytes of a stream.
#[derive(Default)]
pub struct ByteQueue {
    segments: VecDeque<Bytes>,
    /// Small writes after the last segment.
    tail: BytesMut,
    len: usize,
}

impl ByteQueue {
    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds bytes at the end, without copying them.
    pub fn push(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        if bytes.len() < SMALL {
            self.tail.extend_from_slice(&bytes);
            if self.tail.len() >= SMALL {
                self.seal();
            }
        } else {
            self.seal();
            self.segments.push_back(bytes);
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.segments.push_back(self.tail.split().freeze());
        }
    }

    /// At most `limit` bytes, of one segment.
    pub fn pop(&mut self, limit: usize) -> Bytes {
        if self.segments.is_empty() {
            self.seal();
        }
        let Some(first) = self.segments.front_mut() else {
            return Bytes::new();
        };
        let bytes = first.split_to(first.len().min(limit));
        if first.is_empty() {
            self.segments.pop_front();
        }
        self.len -= bytes.len();
        bytes
    }

    /// Fills `target`, which must not be longer than the queue.
    pub fn fill(&mut self, mut target: &mut [u8]) {
        while !target.is_empty() {
            let bytes = self.pop(target.len());
            if bytes.is_empty() {
                return;
            }
            let (now, later) = target.split_at_mut(bytes.len());
            now.copy_from_slice(&bytes);
            target = later;
        }
    }
}
