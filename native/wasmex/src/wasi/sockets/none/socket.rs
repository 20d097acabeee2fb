//! A socket of a guest, of which there are none.

use crate::wasi::sockets::readiness::{Direction, Readiness};
use std::convert::Infallible;
use std::task::{Context, Poll};

/// Cannot be made.
pub struct Socket {
    /// Datagrams rather than a stream.
    pub datagrams: bool,
    /// The flags set by the guest.
    pub flags: u16,
    /// It accepts connections.
    pub listening: bool,
    /// No value has this type.
    pub never: Infallible,
}

impl Socket {
    /// Bytes that can be read at once.
    pub fn available(&self) -> u64 {
        match self.never {}
    }

    /// Whether it is ready; if not, the task is woken when it may be.
    pub fn poll_ready(&self, _: &mut Context<'_>, _: Direction) -> Poll<Readiness> {
        match self.never {}
    }
}

/// The system's report about several sockets.
pub fn ready_now<'a>(_: impl Iterator<Item = (&'a Socket, Direction)>) -> Vec<Readiness> {
    Vec::new()
}
