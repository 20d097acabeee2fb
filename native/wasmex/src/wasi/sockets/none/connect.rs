//! Opening and connecting sockets, which fails.

use crate::wasi::calls;
use crate::wasi::errno::{Fail, NOTSUP, code};
use crate::wasi::sockets::address::Address;
use crate::wasi::sockets::descriptors::Descriptor;
use crate::wasi::sockets::state::P1;
use std::convert::Infallible;
use wasmtime::Result;
use wiggle::GuestMemory;

/// A kind of socket.
pub const STREAM: i32 = 2;

/// Why a function on this descriptor fails: it is no socket.
pub fn no_socket(p1: &P1, fd: i32) -> Result<Infallible, Fail> {
    p1.descriptors.socket(fd).map(|socket| socket.never)
}

/// Not supported here.
pub fn open(_: &mut P1, _family: i32, _kind: i32) -> Result<u32, Fail> {
    Err(NOTSUP.into())
}

/// Not supported here.
pub fn listen_at(p1: &mut P1, fd: i32, _: &Address, _backlog: Option<i32>) -> Result<(), Fail> {
    match no_socket(p1, fd)? {}
}

/// Not supported here.
pub async fn dial(p1: &mut P1, fd: i32, _: &Address) -> Result<(), Fail> {
    match no_socket(p1, fd)? {}
}

/// Not supported here.
pub async fn accept(p1: &mut P1, fd: i32, _flags: i32) -> Result<u32, Fail> {
    match no_socket(p1, fd)? {}
}

/// Not supported here.
pub fn name(p1: &P1, fd: i32, _peer: bool) -> Result<Address, Fail> {
    match no_socket(p1, fd)? {}
}

/// Not supported here.
pub async fn sock_open(
    _: &mut P1,
    _: &mut GuestMemory<'_>,
    _family: i32,
    _kind: i32,
    _opened: i32,
) -> Result<i32> {
    Ok(NOTSUP)
}

/// Functions whose first parameter is a socket.
macro_rules! on_sockets {
    ($($name:ident($($arg:ident),*);)*) => {
        $(
            /// The descriptor is no socket.
            #[allow(clippy::too_many_arguments)]
            pub async fn $name(
                p1: &mut $crate::wasi::sockets::state::P1,
                _: &mut wiggle::GuestMemory<'_>,
                fd: i32,
                $($arg: i32),*
            ) -> wasmtime::Result<i32> {
                let failed = $crate::wasi::sockets::connect::no_socket(p1, fd).map(|never| match never {});
                $crate::wasi::errno::code(failed)
            }
        )*
    };
}

pub(crate) use on_sockets;

on_sockets! {
    sock_bind(_place, _port);
    sock_listen(_backlog);
    sock_connect(_place, _port);
}

/// The standard function, also defined for files.
pub async fn sock_accept(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    flags: i32,
    accepted: i32,
) -> Result<i32> {
    match p1.descriptors.get(fd) {
        Ok(Descriptor::File(file)) => {
            let file = *file;
            calls::sock_accept(&mut p1.ctx, memory, file, flags, accepted)
        }
        Ok(Descriptor::Socket(socket)) => match socket.never {},
        Err(fail) => code(Err(fail)),
    }
}

/// The standard function, also defined for files.
pub async fn sock_shutdown(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    how: i32,
) -> Result<i32> {
    match p1.descriptors.get(fd) {
        Ok(Descriptor::File(file)) => {
            let file = *file;
            calls::sock_shutdown(&mut p1.ctx, memory, file, how)
        }
        Ok(Descriptor::Socket(socket)) => match socket.never {},
        Err(fail) => code(Err(fail)),
    }
}
