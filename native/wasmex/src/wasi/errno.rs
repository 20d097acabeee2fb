//! The errors of preview 1, in the order of the interface's definition (typenames.witx).

use wasmtime::Result;
use wiggle::GuestError;

pub const ACCES: i32 = 2;
pub const AFNOSUPPORT: i32 = 5;
pub const AGAIN: i32 = 6;
pub const BADF: i32 = 8;
pub const CONNABORTED: i32 = 13;
pub const CONNREFUSED: i32 = 14;
pub const INPROGRESS: i32 = 26;
pub const INVAL: i32 = 28;
pub const IO: i32 = 29;
pub const ISCONN: i32 = 30;
pub const MFILE: i32 = 33;
pub const NAMETOOLONG: i32 = 37;
pub const NFILE: i32 = 41;
pub const NODEV: i32 = 43;
pub const NOENT: i32 = 44;
pub const NOMEM: i32 = 48;
pub const NOPROTOOPT: i32 = 50;
pub const NOTCONN: i32 = 53;
pub const NOTDIR: i32 = 54;
pub const NOTSOCK: i32 = 57;
pub const NOTSUP: i32 = 58;
pub const PROTONOSUPPORT: i32 = 66;
pub const SPIPE: i32 = 70;
pub const TIMEDOUT: i32 = 73;

/// Why a function fails: an errno for the guest, or the guest's end.
#[derive(Debug)]
pub enum Fail {
    Errno(i32),
    Trap(wasmtime::Error),
}

impl From<i32> for Fail {
    fn from(errno: i32) -> Self {
        Fail::Errno(errno)
    }
}

/// A pointer out of bounds is a trap, as the interface requires (witx-docs.md, pointers).
impl From<GuestError> for Fail {
    fn from(error: GuestError) -> Self {
        Fail::Trap(error.into())
    }
}

impl From<std::io::Error> for Fail {
    fn from(error: std::io::Error) -> Self {
        Fail::Errno(of(&error))
    }
}

#[cfg(unix)]
impl From<rustix::io::Errno> for Fail {
    fn from(errno: rustix::io::Errno) -> Self {
        std::io::Error::from(errno).into()
    }
}

/// The errno for the guest.
pub fn code(result: Result<(), Fail>) -> Result<i32> {
    match result {
        Ok(()) => Ok(0),
        Err(Fail::Errno(errno)) => Ok(errno),
        Err(Fail::Trap(error)) => Err(error),
    }
}

/// The errno of a system error.
pub fn of(error: &std::io::Error) -> i32 {
    match error.raw_os_error() {
        #[cfg(unix)]
        Some(raw) => of_raw(raw),
        #[cfg(not(unix))]
        Some(_) => of_kind(error.kind()),
        None if error.kind() == std::io::ErrorKind::TimedOut => TIMEDOUT,
        None => IO,
    }
}

/// The system's own numbers are not those of POSIX.
#[cfg(not(unix))]
fn of_kind(kind: std::io::ErrorKind) -> i32 {
    use std::io::ErrorKind;
    match kind {
        ErrorKind::PermissionDenied => ACCES,
        ErrorKind::AddrInUse => 3,
        ErrorKind::AddrNotAvailable => 4,
        ErrorKind::WouldBlock => AGAIN,
        ErrorKind::ConnectionAborted => CONNABORTED,
        ErrorKind::ConnectionRefused => CONNREFUSED,
        ErrorKind::ConnectionReset => 15,
        ErrorKind::HostUnreachable => 23,
        ErrorKind::InvalidInput => INVAL,
        ErrorKind::NetworkDown => 38,
        ErrorKind::NetworkUnreachable => 40,
        ErrorKind::NotFound => NOENT,
        ErrorKind::OutOfMemory => NOMEM,
        ErrorKind::NotConnected => NOTCONN,
        ErrorKind::BrokenPipe => 64,
        ErrorKind::TimedOut => TIMEDOUT,
        _ => IO,
    }
}

#[cfg(unix)]
fn of_raw(raw: i32) -> i32 {
    match raw {
        libc::EACCES => ACCES,
        libc::EADDRINUSE => 3,
        libc::EADDRNOTAVAIL => 4,
        libc::EAFNOSUPPORT => AFNOSUPPORT,
        libc::EAGAIN => AGAIN,
        libc::EALREADY => 7,
        libc::EBADF => BADF,
        libc::ECONNABORTED => CONNABORTED,
        libc::ECONNREFUSED => CONNREFUSED,
        libc::ECONNRESET => 15,
        libc::EDESTADDRREQ => 17,
        libc::EHOSTUNREACH => 23,
        libc::EINPROGRESS => INPROGRESS,
        libc::EINTR => 27,
        libc::EINVAL => INVAL,
        libc::EISCONN => ISCONN,
        libc::EMFILE => MFILE,
        libc::EMSGSIZE => 35,
        libc::ENETDOWN => 38,
        libc::ENETRESET => 39,
        libc::ENETUNREACH => 40,
        libc::ENFILE => 41,
        libc::ENOBUFS => 42,
        libc::ENODEV => NODEV,
        libc::ENOENT => NOENT,
        libc::ENOMEM => NOMEM,
        libc::ENOPROTOOPT => NOPROTOOPT,
        libc::ENOTCONN => NOTCONN,
        libc::ENOTDIR => NOTDIR,
        libc::ENOTSOCK => NOTSOCK,
        libc::EOPNOTSUPP => NOTSUP,
        libc::EPERM => 63,
        libc::EPIPE => 64,
        libc::EPROTO => 65,
        libc::EPROTONOSUPPORT => PROTONOSUPPORT,
        libc::EPROTOTYPE => 67,
        libc::ETIMEDOUT => TIMEDOUT,
        _ => IO,
    }
}
