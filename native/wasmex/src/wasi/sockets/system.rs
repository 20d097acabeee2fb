//! What differs between systems of the Unix family: making descriptors that never block and that child processes do not
//! inherit, and flags that some lack.

use rustix::event::PollFlags;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Result;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// A new socket.
pub fn open(family: AddressFamily, kind: SocketType) -> Result<OwnedFd> {
    net::socket_with(family, kind, FLAGS, None).and_then(prepare)
}

/// Both ends of a new connection.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let (one, other) = net::socketpair(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    Ok((prepare(one)?, prepare(other)?))
}

/// The next connection of a listener.
pub fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd> {
    #[cfg(not(target_vendor = "apple"))]
    return net::accept_with(listener, FLAGS);
    #[cfg(target_vendor = "apple")]
    net::accept(listener).and_then(prepare)
}

#[cfg(not(target_vendor = "apple"))]
mod flags {
    use super::*;

    pub const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

    /// The peer is gone.
    pub const GONE: PollFlags = PollFlags::HUP.union(PollFlags::RDHUP);

    /// Reports the peer's end of sending.
    pub const READ: PollFlags = PollFlags::IN.union(PollFlags::RDHUP);

    /// A peer that is gone is an error, no signal.
    pub const SEND: SendFlags = SendFlags::NOSIGNAL;

    /// Returns the full length of a message, even if it is truncated.
    pub const WHOLE: RecvFlags = RecvFlags::TRUNC;

    /// For descriptors in messages.
    pub const PASSED: RecvFlags = RecvFlags::CMSG_CLOEXEC;

    /// Descriptors are made with the flags.
    pub fn prepare(fd: OwnedFd) -> Result<OwnedFd> {
        Ok(fd)
    }
}

/// Apple's systems set flags afterwards. (The VM ignores SIGPIPE.)
#[cfg(target_vendor = "apple")]
mod flags {
    use super::*;
    use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};

    pub const FLAGS: SocketFlags = SocketFlags::empty();
    pub const GONE: PollFlags = PollFlags::HUP;
    pub const READ: PollFlags = PollFlags::IN;
    pub const SEND: SendFlags = SendFlags::empty();
    pub const WHOLE: RecvFlags = RecvFlags::empty();
    pub const PASSED: RecvFlags = RecvFlags::empty();

    /// Sets what the flags are elsewhere.
    pub fn prepare(fd: OwnedFd) -> Result<OwnedFd> {
        ioctl_fionbio(&fd, true)?;
        fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
        Ok(fd)
    }
}

use flags::FLAGS;
pub use flags::{GONE, PASSED, READ, SEND, WHOLE, prepare};
