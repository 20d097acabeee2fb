//! Elixir's handles of listeners and connection ends.

use crate::vm::live::{Kind, Live};
use crate::vm::resource::named_resource;
use crate::wasi::sockets::passed;
use crate::wasi::sockets::socket::{Accepts, OwnPath};
use crate::wasi::sockets::system;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{self, SocketAddrUnix, SocketType, sockopt};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Backlog of listeners opened by the host.
const BACKLOG: i32 = 1024;

/// A listener for guests, one after the other or several at once.
pub struct ListenerResource {
    /// `None` if it was passed to one guest for good.
    listener: Mutex<Option<OwnedFd>>,
    /// Whether it moves to the first guest that gets it.
    once: bool,
    /// Where Elixir passes connections in, for listeners without an address.
    connector: Option<OwnedFd>,
    /// The path to remove at the end.
    path: Option<OwnPath>,
    _live: Live,
}

named_resource!(ListenerResource, "listener");
impl std::panic::RefUnwindSafe for ListenerResource {}

impl ListenerResource {
    fn new(listener: OwnedFd, connector: Option<OwnedFd>, path: Option<OwnPath>) -> Self {
        ListenerResource {
            listener: Mutex::new(Some(listener)),
            once: false,
            connector,
            path,
            _live: Live::new(Kind::Socket),
        }
    }

    /// At an address of this machine.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => net::AddressFamily::INET,
            SocketAddr::V6(_) => net::AddressFamily::INET6,
        };
        let fd = system::open(family, SocketType::STREAM)?;
        sockopt::set_socket_reuseaddr(&fd, true)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&fd, true)?;
        }
        let _ = sockopt::set_tcp_nodelay(&fd, true);
        net::bind(&fd, &address)?;
        net::listen(&fd, BACKLOG)?;
        Ok(ListenerResource::new(fd, None, None))
    }

    /// At a path. A leftover socket file is replaced.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let fd = system::open(net::AddressFamily::UNIX, SocketType::STREAM)?;
        match net::bind(&fd, &address) {
            Err(Errno::ADDRINUSE) if is_left_over(&address) => {
                std::fs::remove_file(path)?;
                net::bind(&fd, &address)?;
            }
            bound => bound?,
        }
        net::listen(&fd, BACKLOG)?;
        Ok(ListenerResource::new(
            fd,
            None,
            Some(OwnPath(path.to_path_buf())),
        ))
    }

    /// Without an address: Elixir connects to it.
    pub fn in_memory(once: bool) -> io::Result<Self> {
        let (listener, connector) = system::pair()?;
        let mut made = ListenerResource::new(listener, Some(connector), None);
        made.once = once;
        Ok(made)
    }

    /// The guest's own handle of it.
    pub fn share(&self) -> io::Result<(OwnedFd, Accepts)> {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let fd = match self.once {
            true => listener.take(),
            false => listener.as_ref().map(OwnedFd::try_clone).transpose()?,
        };
        let accepts = match self.connector {
            Some(_) => Accepts::Passed,
            None => Accepts::System,
        };
        // An earlier program received the same one.
        Ok((fd.ok_or(Errno::BADF)?, accepts))
    }

    /// The listener itself, for the only guest.
    pub fn into_parts(self) -> io::Result<(OwnedFd, Option<OwnPath>)> {
        let listener = self.listener.into_inner();
        let listener = listener.unwrap_or_else(PoisonError::into_inner);
        Ok((listener.ok_or(Errno::BADF)?, self.path))
    }

    /// Connects to the owner of the listener and returns Elixir's end.
    pub fn connect(&self) -> io::Result<OwnedFd> {
        let connector = self.connector.as_ref().ok_or(Errno::OPNOTSUPP)?;
        let (theirs, ours) = system::pair()?;
        passed::connect(connector.as_fd(), &theirs)?;
        Ok(ours)
    }

    /// The address, if it has one and was not moved to a guest.
    pub fn address(&self) -> Option<net::SocketAddrAny> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = listener.as_ref().filter(|_| self.connector.is_none())?;
        net::getsockname(listener).ok()
    }
}

/// Whether no process listens at the path any more.
fn is_left_over(address: &SocketAddrUnix) -> bool {
    let probe = system::open(net::AddressFamily::UNIX, SocketType::STREAM);
    let refused = probe.and_then(|probe| net::connect(&probe, address));
    refused == Err(Errno::CONNREFUSED)
}

/// Elixir's end of a connection, until OTP takes it over.
pub struct EndResource {
    /// The descriptor.
    pub fd: Mutex<Option<OwnedFd>>,
    _live: Live,
}

named_resource!(EndResource, "socket");
impl std::panic::RefUnwindSafe for EndResource {}

impl EndResource {
    /// Holds the descriptor.
    pub fn new(fd: OwnedFd) -> Self {
        EndResource {
            fd: Mutex::new(Some(fd)),
            _live: Live::new(Kind::Socket),
        }
    }
}
