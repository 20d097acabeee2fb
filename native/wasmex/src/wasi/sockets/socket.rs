//! One socket of a guest: a descriptor of the system that never blocks, and how the guest wants it to behave.

use crate::wasi::errno::{AGAIN, Fail, INPROGRESS};
use crate::wasi::sockets::pending::Made;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags};
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The flag of a descriptor whose calls do not wait (`fdflags`).
pub const NONBLOCK: u16 = 4;

/// Sockets of ours never block a thread, and no other program inherits them.
pub const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Read,
    Write,
}

/// Which addresses a socket has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
    Unix,
}

impl Family {
    /// As the system has it.
    pub fn raw(self) -> AddressFamily {
        match self {
            Family::V4 => AddressFamily::INET,
            Family::V6 => AddressFamily::INET6,
            Family::Unix => AddressFamily::UNIX,
        }
    }
}

/// An open socket.
pub struct Socket {
    io: AsyncFd<OwnedFd>,
    /// Which addresses it has.
    pub family: Family,
    /// Messages, not a stream.
    pub datagrams: bool,
    /// The flags that the guest has set.
    pub flags: u16,
    /// It accepts connections.
    pub listening: bool,
    /// What accepted connections come by.
    pub accepts: Accepts,
    /// Its path, if the host has made that.
    path: Option<OwnPath>,
    /// Where the connection really goes, if not to its address.
    made: Option<Made>,
    /// Its connections come from Elixir, and have no address.
    pub in_memory: bool,
}

/// The path of a unix socket, which goes with it.
pub struct OwnPath(pub PathBuf);

impl Drop for OwnPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How a listener gets its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// From the system.
    System,
    /// From Elixir, as descriptors that come through a socket pair.
    Passed,
}

/// What the system says about a socket at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A call would not wait.
    pub ready: bool,
    /// The other side is gone, and nothing is left to be read.
    pub hangup: bool,
}

impl Socket {
    /// Within tokio's reach.
    pub fn new(fd: OwnedFd, family: Family, datagrams: bool) -> io::Result<Self> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        // SAFETY: the `AsyncFd` owns the descriptor and nobody takes it out: it is the same until it is deregistered.
        let io = unsafe { AsyncFd::register_with_interest(fd, interest)? };
        Ok(Socket {
            io,
            family,
            datagrams,
            flags: 0,
            listening: false,
            accepts: Accepts::System,
            path: None,
            made: None,
            in_memory: false,
        })
    }

    /// A listener that the host opened.
    pub fn listener(fd: OwnedFd, accepts: Accepts, path: Option<OwnPath>) -> io::Result<Self> {
        let in_memory = accepts == Accepts::Passed;
        let family = match in_memory {
            true => Family::V4,
            false => family(fd.as_fd()),
        };
        let mut socket = Socket::new(fd, family, false)?;
        socket.in_memory = in_memory;
        socket.listening = true;
        socket.accepts = accepts;
        socket.path = path;
        // Go makes a listener of it and does not set this itself: accepting would stop all its goroutines.
        socket.flags = NONBLOCK;
        Ok(socket)
    }

    /// From now on it is the end of a connection that the host makes.
    pub fn substitute(&mut self, fd: OwnedFd, made: Made) -> io::Result<()> {
        let socket = Socket::new(fd, self.family, false)?;
        self.io = socket.io;
        self.made = Some(made);
        Ok(())
    }

    /// Where the connection really goes, if not to its address.
    pub fn made(&self) -> Option<&Made> {
        self.made.as_ref()
    }

    /// Until it is connected, or has failed to be.
    pub async fn connected(&self) -> Result<(), Fail> {
        let Some(made) = &self.made else {
            return Ok(());
        };
        match poll_fn(|cx| made.poll(cx)).await {
            0 => Ok(()),
            errno => Err(Fail::Errno(errno)),
        }
    }

    /// The descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }

    /// Whether calls that would wait fail instead.
    pub fn nonblocking(&self) -> bool {
        self.flags & NONBLOCK != 0
    }

    /// A call of the system, until it is done; where it would wait, the guest does, unless it asked not to.
    pub async fn attempt<T>(
        &self,
        direction: Direction,
        nonblocking: bool,
        mut call: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> Result<T, Fail> {
        match self.made.as_ref().map_or(0, Made::state) {
            0 => {}
            INPROGRESS if nonblocking => return Err(Fail::Errno(AGAIN)),
            _ => self.connected().await?,
        }
        match uninterrupted(|| call(self.fd())) {
            Err(Errno::AGAIN) if !nonblocking => {}
            done => return Ok(done?),
        }
        loop {
            // Taken before the call: what comes in between is not cleared with it.
            let guard = match direction {
                Direction::Read => self.io.readable().await,
                Direction::Write => self.io.writable().await,
            };
            let mut guard = guard?;
            match uninterrupted(|| call(self.fd())) {
                Err(Errno::AGAIN) => guard.clear_ready(),
                done => return Ok(done?),
            }
        }
    }

    /// What to ask the system about it.
    pub fn poll_fd(&self, direction: Direction) -> PollFd<'_> {
        let events = match direction {
            Direction::Read => PollFlags::IN | PollFlags::RDHUP,
            Direction::Write => PollFlags::OUT,
        };
        PollFd::from_borrowed_fd(self.fd(), events)
    }

    /// Whether it is ready; if not, the task is woken when it may be.
    pub fn poll_ready(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<Readiness> {
        if let Some(made) = &self.made {
            match made.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => {}
                Poll::Ready(_) => return Poll::Ready(Readiness::failed()),
            }
        }
        loop {
            let guard = match direction {
                Direction::Read => self.io.poll_read_ready(cx),
                Direction::Write => self.io.poll_write_ready(cx),
            };
            match guard {
                Poll::Pending => return Poll::Pending,
                // The runtime is going down.
                Poll::Ready(Err(_)) => return Poll::Ready(Readiness::gone()),
                Poll::Ready(Ok(mut guard)) => {
                    let found = self.readiness(direction);
                    if found.ready {
                        return Poll::Ready(found);
                    }
                    guard.clear_ready();
                }
            }
        }
    }

    /// What the system says about the descriptor, where that is not the whole truth.
    pub fn corrected(&self, found: Readiness) -> Readiness {
        match self.made.as_ref().map_or(0, Made::state) {
            0 => found,
            INPROGRESS => Readiness::default(),
            _ => Readiness::failed(),
        }
    }

    /// What the system says now.
    fn readiness(&self, direction: Direction) -> Readiness {
        let mut fds = [self.poll_fd(direction)];
        let _ = rustix::event::poll(&mut fds, Some(&NOW));
        Readiness::of(fds[0].revents())
    }
}

/// No time at all.
pub const NOW: rustix::event::Timespec = rustix::event::Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

impl Readiness {
    /// From what poll(2) found.
    pub fn of(events: PollFlags) -> Self {
        let gone = PollFlags::HUP | PollFlags::RDHUP;
        Readiness {
            ready: !events.is_empty(),
            hangup: events.intersects(gone) && !events.contains(PollFlags::IN),
        }
    }

    /// A call would say why it is not connected.
    fn failed() -> Self {
        Readiness {
            ready: true,
            hangup: false,
        }
    }

    fn gone() -> Self {
        Readiness {
            ready: true,
            hangup: true,
        }
    }
}

/// The same call again while signals interrupt it.
pub fn uninterrupted<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// The family of a descriptor that the host opened.
pub fn family(fd: BorrowedFd<'_>) -> Family {
    match rustix::net::getsockname(fd).map(|address| address.address_family()) {
        Ok(AddressFamily::INET) => Family::V4,
        Ok(AddressFamily::INET6) => Family::V6,
        _ => Family::Unix,
    }
}
