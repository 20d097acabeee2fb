//! Whether a socket can be read or written.

/// The flag of a descriptor whose calls do not wait (`fdflags`).
pub const NONBLOCK: u16 = 4;

/// Direction of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Read,
    Write,
}

/// The system's report about a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A call would not block.
    pub ready: bool,
    /// The peer is gone, and nothing is left to read.
    pub hangup: bool,
}

impl Readiness {
    /// A call would report why it is not connected.
    pub fn failed() -> Self {
        Readiness {
            ready: true,
            hangup: false,
        }
    }

    /// The peer is gone.
    pub fn gone() -> Self {
        Readiness {
            ready: true,
            hangup: true,
        }
    }
}
