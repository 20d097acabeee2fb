//! Opening and connecting sockets: `sock_open`, `sock_bind`, `sock_listen`, `sock_connect`, `sock_accept`.

use crate::wasi::calls;
use crate::wasi::errno::{AGAIN, Fail, INPROGRESS, INVAL, ISCONN, NOTCONN, TIMEDOUT, code};
use crate::wasi::sockets::address::{self, Address, Family, INET, INET6, UNIX};
use crate::wasi::sockets::descriptors::Descriptor;
use crate::wasi::sockets::made;
use crate::wasi::sockets::memory::put_u32;
use crate::wasi::sockets::passed;
use crate::wasi::sockets::readiness::Direction;
use crate::wasi::sockets::socket::{Accepts, Socket, of_any, raw, uninterrupted};
use crate::wasi::sockets::state::P1;
use crate::wasi::sockets::system;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{self, Shutdown, SocketAddrAny, SocketAddrUnix, SocketType, sockopt};
use std::net::{Ipv4Addr, SocketAddr};
use wasmtime::Result;
use wasmtime_wasi::sockets::SocketAddrUse;
use wiggle::GuestMemory;

/// Kinds of sockets.
const DATAGRAMS: i32 = 1;
pub const STREAM: i32 = 2;

/// The backlog of a listener.
const MAX_BACKLOG: i32 = 4096;
const DEFAULT_BACKLOG: i32 = 128;

/// Opens a socket.
pub async fn sock_open(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    family: i32,
    kind: i32,
    opened: i32,
) -> Result<i32> {
    code(open(p1, family, kind).and_then(|fd| put_u32(memory, opened, fd)))
}

/// Returns the descriptor.
pub fn open(p1: &mut P1, family: i32, kind: i32) -> Result<u32, Fail> {
    let family = match family {
        INET => Family::V4,
        INET6 => Family::V6,
        UNIX => Family::Unix,
        _ => return Err(INVAL.into()),
    };
    let datagrams = match kind {
        DATAGRAMS => true,
        STREAM => false,
        _ => return Err(INVAL.into()),
    };
    p1.net.check_kind(family, datagrams)?;
    p1.descriptors.room_for_socket()?;
    let kind = if datagrams {
        SocketType::DGRAM
    } else {
        SocketType::STREAM
    };
    let fd = system::open(raw(family), kind)?;
    match family {
        // An IPv4-mapped IPv6 address must not get past a rule.
        Family::V6 => sockopt::set_ipv6_v6only(&fd, true)?,
        Family::V4 | Family::Unix => {}
    }
    if !datagrams && family != Family::Unix {
        // As Go sets it on other systems; accepted connections inherit it.
        let _ = sockopt::set_tcp_nodelay(&fd, true);
    }
    let socket = Socket::new(fd, family, datagrams);
    p1.descriptors.add_socket(socket)
}

/// Binds a socket to an address.
pub async fn sock_bind(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    place: i32,
    port: i32,
) -> Result<i32> {
    let mut bind = || {
        let at = address::read(memory, place, port)?;
        let socket = p1.descriptors.socket_mut(fd)?;
        p1.net.check_bind(&at, socket.datagrams)?;
        at.with(|at| net::bind(socket.fd(), at))?;
        Ok(())
    };
    code(bind())
}

/// Listens for connections.
pub async fn sock_listen(
    p1: &mut P1,
    _memory: &mut GuestMemory<'_>,
    fd: i32,
    backlog: i32,
) -> Result<i32> {
    let mut listen = || {
        let socket = p1.descriptors.socket_mut(fd)?;
        // Binding may have been allowed in order to connect; and an unbound socket gets some port, on every address.
        if let Ok(Some(Address::Net(at))) = net::getsockname(socket.fd()).map(of_any) {
            p1.net.check(at, SocketAddrUse::TcpListen)?;
        }
        net::listen(socket.fd(), backlog.clamp(1, MAX_BACKLOG))?;
        socket.listening = true;
        Ok(())
    };
    code(listen())
}

/// Binds and listens in one step.
pub fn listen_at(p1: &mut P1, fd: i32, at: &Address, backlog: Option<i32>) -> Result<(), Fail> {
    let socket = p1.descriptors.socket_mut(fd)?;
    p1.net.check_bind(at, false)?;
    let _ = sockopt::set_socket_reuseaddr(socket.fd(), true);
    at.with(|at| net::bind(socket.fd(), at))?;
    let backlog = backlog.unwrap_or(DEFAULT_BACKLOG).clamp(1, MAX_BACKLOG);
    net::listen(socket.fd(), backlog)?;
    socket.listening = true;
    Ok(())
}

/// Connects a socket. A non-blocking one returns "in progress".
pub async fn sock_connect(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    place: i32,
    port: i32,
) -> Result<i32> {
    code(connect(p1, memory, fd, place, port).await)
}

async fn connect(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    place: i32,
    port: i32,
) -> Result<(), Fail> {
    let to = address::read(memory, place, port)?;
    dial(p1, fd, &to).await
}

/// Connects a socket, or replaces it by the end of a connection that leads elsewhere.
pub async fn dial(p1: &mut P1, fd: i32, to: &Address) -> Result<(), Fail> {
    if let Some((end, made)) = elsewhere(p1, fd, to)? {
        let socket = p1.descriptors.socket_mut(fd)?;
        socket.substitute(end, made);
        return match socket.nonblocking() {
            true => Err(INPROGRESS.into()),
            false => socket.connected().await,
        };
    }
    let socket = p1.descriptors.socket(fd)?;
    p1.net.check_dial(to, socket.datagrams)?;
    match to.with(|to| net::connect(socket.fd(), to)) {
        Err(Fail::Errno(INPROGRESS)) if !socket.nonblocking() => {}
        done => return done,
    }
    let connected = socket.attempt(Direction::Write, false, connected);
    match tokio::time::timeout(p1.net.reach.timeout, connected).await {
        // A second call makes the system treat it as connected, so that another one fails.
        Ok(Ok(())) => to.with(|to| net::connect(socket.fd(), to)).or(Ok(())),
        // The guest's own timeout (`SO_SNDTIMEO`); the system continues connecting.
        Ok(Err(Fail::Errno(AGAIN))) => Err(INPROGRESS.into()),
        Ok(failed) => failed,
        Err(_elapsed) => Err(TIMEDOUT.into()),
    }
}

/// The end of a connection that an Elixir process handles, or to which the host adds TLS.
fn elsewhere(p1: &P1, fd: i32, to: &Address) -> Result<Option<made::Ends>, Fail> {
    let socket = p1.descriptors.socket(fd)?;
    let Address::Net(to) = *to else {
        return Ok(None);
    };
    if socket.datagrams {
        return Ok(None);
    }
    if socket.made().is_some() {
        return Err(ISCONN.into());
    }
    p1.net.reach.elsewhere(to)
}

/// Whether connecting has ended, and how.
fn connected(fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    sockopt::socket_error(fd)??;
    match net::getpeername(fd) {
        Ok(_) => Ok(()),
        Err(Errno::NOTCONN) => Err(Errno::AGAIN),
        Err(errno) => Err(errno),
    }
}

/// Accepts a connection; the standard function, also defined for files.
pub async fn sock_accept(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    flags: i32,
    accepted: i32,
) -> Result<i32> {
    if let Ok(Descriptor::File(file)) = p1.descriptors.get(fd) {
        let file = *file;
        return calls::sock_accept(&mut p1.ctx, memory, file, flags, accepted);
    }
    match accept(p1, fd, flags).await {
        Ok(fd) => code(put_u32(memory, accepted, fd)),
        Err(fail) => code(Err(fail)),
    }
}

/// Returns the connection's descriptor.
pub async fn accept(p1: &mut P1, fd: i32, flags: i32) -> Result<u32, Fail> {
    let flags = u16::try_from(flags).map_err(|_| INVAL)?;
    p1.descriptors.room_for_socket()?;
    let listener = p1.descriptors.socket(fd)?;
    if !listener.listening {
        return Err(INVAL.into());
    }
    let accept: fn(BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> = match listener.accepts {
        Accepts::System => system::accept,
        Accepts::Passed => passed::accept,
    };
    let nonblocking = listener.nonblocking();
    let connection = listener
        .attempt(Direction::Read, nonblocking, accept)
        .await?;
    let mut socket = Socket::new(connection, listener.family, false);
    socket.flags = flags;
    socket.in_memory = listener.in_memory;
    p1.descriptors.add_socket(socket)
}

/// Directions of a connection (`sdflags`).
const READ: i32 = 1;
const WRITE: i32 = 2;
const BOTH: i32 = 3;

/// Shuts down one or both directions of a connection.
pub async fn sock_shutdown(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    how: i32,
) -> Result<i32> {
    if let Ok(Descriptor::File(file)) = p1.descriptors.get(fd) {
        let file = *file;
        return calls::sock_shutdown(&mut p1.ctx, memory, file, how);
    }
    let shutdown = || {
        let socket = p1.descriptors.socket(fd)?;
        let how = match how {
            READ => Shutdown::Read,
            WRITE => Shutdown::Write,
            BOTH => Shutdown::Both,
            _ => return Err(INVAL.into()),
        };
        Ok(net::shutdown(socket.fd(), how)?)
    };
    code(shutdown())
}

/// The local or the peer address of a socket.
pub fn name(p1: &P1, fd: i32, peer: bool) -> Result<Address, Fail> {
    let socket = p1.descriptors.socket(fd)?;
    let nowhere = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    match (socket.made(), peer) {
        (Some(made), true) => return Ok(Address::Net(made.peer)),
        (Some(_), false) => return Ok(Address::Net(nowhere)),
        (None, true) if socket.in_memory && socket.listening => return Err(NOTCONN.into()),
        (None, _) if socket.in_memory => return Ok(Address::Net(nowhere)),
        (None, _) => {}
    }
    let found = match peer {
        true => net::getpeername(socket.fd())?,
        false => Some(net::getsockname(socket.fd())?),
    };
    found.and_then(of_any).ok_or(Fail::Errno(NOTCONN))
}

impl Address {
    /// A system call with the address.
    fn with<T>(
        &self,
        mut call: impl FnMut(&SocketAddrAny) -> rustix::io::Result<T>,
    ) -> Result<T, Fail> {
        let address = self.system()?;
        Ok(uninterrupted(|| call(&address))?)
    }

    /// In the system's form.
    pub fn system(&self) -> Result<SocketAddrAny, Fail> {
        Ok(match self {
            Address::Net(net) => SocketAddrAny::from(*net),
            Address::Unix(path) => SocketAddrAny::from(SocketAddrUnix::new(path)?),
        })
    }
}
