//! One socket of a guest: a non-blocking descriptor with the guest's settings.

use crate::wasi::errno::{AGAIN, Fail, INPROGRESS};
use crate::wasi::sockets::address::{Address, Family, path};
use crate::wasi::sockets::pending::Made;
use crate::wasi::sockets::readiness::{Direction, NONBLOCK, Readiness};
use crate::wasi::sockets::system::{GONE, READ};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The system's constant.
pub fn raw(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
        Family::Unix => AddressFamily::UNIX,
    }
}

/// An open socket.
pub struct Socket {
    /// tokio's registration; before the descriptor, so that it is dropped first.
    reactor: Mutex<Option<AsyncFd<RawFd>>>,
    fd: OwnedFd,
    /// Its address family.
    pub family: Family,
    /// Datagrams rather than a stream.
    pub datagrams: bool,
    /// The flags set by the guest.
    pub flags: u16,
    /// It accepts connections.
    pub listening: bool,
    /// Where accepted connections come from.
    pub accepts: Accepts,
    /// Its path, if the host created it.
    path: Option<OwnPath>,
    /// Where the connection really leads, if not to its address.
    made: Option<Made>,
    /// Its connections come from Elixir and have no address.
    pub in_memory: bool,
    /// The timeout of reading and accepting (`SO_RCVTIMEO`).
    pub read_timeout: Option<Duration>,
    /// The timeout of writing (`SO_SNDTIMEO`).
    pub write_timeout: Option<Duration>,
    /// The guest's `SO_LINGER` in seconds. Only 0 has an effect, a reset: closing never blocks.
    pub linger: Option<u32>,
}

/// The path of a unix socket, removed with it.
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
    /// From Elixir, as descriptors sent through a socket pair.
    Passed,
}

impl Socket {
    /// A descriptor that never blocks.
    pub fn new(fd: OwnedFd, family: Family, datagrams: bool) -> Self {
        Socket {
            reactor: Mutex::default(),
            fd,
            family,
            datagrams,
            flags: 0,
            listening: false,
            accepts: Accepts::System,
            path: None,
            made: None,
            in_memory: false,
            read_timeout: None,
            write_timeout: None,
            linger: None,
        }
    }

    /// A listener that the host opened.
    pub fn listener(fd: OwnedFd, accepts: Accepts, path: Option<OwnPath>) -> Self {
        let in_memory = accepts == Accepts::Passed;
        let family = match in_memory {
            true => Family::V4,
            false => family(fd.as_fd()),
        };
        let mut socket = Socket::new(fd, family, false);
        socket.in_memory = in_memory;
        socket.listening = true;
        socket.accepts = accepts;
        socket.path = path;
        // Go turns it into a listener without setting this itself: a blocking accept would stop all its goroutines.
        socket.flags = NONBLOCK;
        socket
    }

    /// Turns it into the end of a connection made by the host.
    pub fn substitute(&mut self, fd: OwnedFd, made: Made) {
        self.reactor = Mutex::default();
        self.fd = fd;
        self.made = Some(made);
    }

    /// Where the connection really leads, if not to its address.
    pub fn made(&self) -> Option<&Made> {
        self.made.as_ref()
    }

    /// Waits until it is connected or has failed.
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
        self.fd.as_fd()
    }

    /// Whether calls fail instead of blocking.
    pub fn nonblocking(&self) -> bool {
        self.flags & NONBLOCK != 0
    }

    /// Repeats a system call until it completes; where it would block, the guest waits, unless its descriptor is
    /// non-blocking.
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
        let until = self.timeout(direction).map(|limit| Instant::now() + limit);
        loop {
            match uninterrupted(|| call(self.fd())) {
                Err(Errno::AGAIN) if !nonblocking => self.ready(direction, until).await?,
                done => return Ok(done?),
            }
        }
    }

    fn timeout(&self, direction: Direction) -> Option<Duration> {
        match direction {
            Direction::Read => self.read_timeout,
            Direction::Write => self.write_timeout,
        }
    }

    /// Waits until it is ready, within the guest's timeout.
    async fn ready(&self, direction: Direction, until: Option<Instant>) -> Result<(), Fail> {
        let ready = poll_fn(|cx| self.poll_ready(cx, direction));
        match until {
            None => drop(ready.await),
            Some(until) => {
                let waited = tokio::time::timeout_at(until.into(), ready).await;
                waited.map_err(|_elapsed| AGAIN)?;
            }
        }
        Ok(())
    }

    /// The poll flags for a direction.
    fn poll_fd(&self, direction: Direction) -> PollFd<'_> {
        let events = match direction {
            Direction::Read => READ,
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
        let mut reactor = self.reactor.lock().unwrap_or_else(PoisonError::into_inner);
        for attempt in 0..ATTEMPTS {
            if attempt > 1 {
                *reactor = None;
            }
            let waiting = match reactor.take() {
                Some(waiting) => waiting,
                None => match self.register() {
                    Ok(waiting) => waiting,
                    Err(_) => return Poll::Ready(Readiness::failed()),
                },
            };
            let waiting = reactor.insert(waiting);
            let guard = match direction {
                Direction::Read => waiting.poll_read_ready(cx),
                Direction::Write => waiting.poll_write_ready(cx),
            };
            match guard {
                Poll::Pending => return Poll::Pending,
                // The runtime is shutting down.
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
        // Lets other tasks go first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Registers the descriptor with tokio, but only when a task waits: an unconnected socket reports hang-up, and
    /// tokio would remember that forever (closed stays closed), even once it is connected. A registration that reports
    /// hang-up against the system is renewed.
    fn register(&self) -> io::Result<AsyncFd<RawFd>> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        // SAFETY: the descriptor is open until `self` is dropped or changed, and the `AsyncFd` is dropped before.
        unsafe {
            Ok(AsyncFd::register_with_interest(
                self.fd.as_raw_fd(),
                interest,
            )?)
        }
    }

    /// Bytes that can be read at once.
    pub fn available(&self) -> u64 {
        rustix::io::ioctl_fionread(self.fd()).unwrap_or_default()
    }

    /// The system's report, corrected where it is incomplete.
    fn corrected(&self, found: Readiness) -> Readiness {
        match self.made.as_ref().map_or(0, Made::state) {
            0 => found,
            INPROGRESS => Readiness::default(),
            _ => Readiness::failed(),
        }
    }

    /// The system's report now.
    fn readiness(&self, direction: Direction) -> Readiness {
        let mut fds = [self.poll_fd(direction)];
        let _ = rustix::event::poll(&mut fds, Some(&NOW));
        report(fds[0].revents())
    }
}

/// How often readiness is polled in a row.
const ATTEMPTS: usize = 4;

/// A zero timeout.
const NOW: rustix::event::Timespec = rustix::event::Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// From the result of poll(2).
fn report(events: PollFlags) -> Readiness {
    Readiness {
        ready: !events.is_empty(),
        hangup: events.intersects(GONE) && !events.contains(PollFlags::IN),
    }
}

/// The system's report about several sockets, in one system call.
pub fn ready_now<'a>(sockets: impl Iterator<Item = (&'a Socket, Direction)>) -> Vec<Readiness> {
    let (sockets, mut fds): (Vec<_>, Vec<_>) = sockets
        .map(|(socket, direction)| (socket, socket.poll_fd(direction)))
        .unzip();
    let _ = rustix::event::poll(&mut fds, Some(&NOW));
    let reports = fds.iter().zip(sockets);
    reports
        .map(|(fd, socket)| socket.corrected(report(fd.revents())))
        .collect()
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

/// The address family of a descriptor opened by the host.
pub fn family(fd: BorrowedFd<'_>) -> Family {
    match rustix::net::getsockname(fd).map(|address| address.address_family()) {
        Ok(AddressFamily::INET) => Family::V4,
        Ok(AddressFamily::INET6) => Family::V6,
        _ => Family::Unix,
    }
}

/// An address in the system's form.
pub fn of_any(address: SocketAddrAny) -> Option<Address> {
    if let Ok(net) = SocketAddr::try_from(address.clone()) {
        return Some(Address::Net(net));
    }
    let unix = SocketAddrUnix::try_from(address).ok()?;
    Some(Address::Unix(path(unix.path_bytes().unwrap_or_default())))
}
