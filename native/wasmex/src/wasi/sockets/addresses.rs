//! Local and peer addresses of sockets, in both versions of the interface.
//!
//! Version 1 is WasmEdge's first: four functions have other parameters. The types of a guest's imports tell the
//! version.

// As many parameters as the interfaces have.
#![allow(clippy::too_many_arguments)]

use crate::wasi::errno::code;
use crate::wasi::sockets::address;
use crate::wasi::sockets::connect::{self, name};
use crate::wasi::sockets::memory::put_u32;
use crate::wasi::sockets::messages::{Received, receive_from};
use crate::wasi::sockets::state::P1;
use wasmtime::Result;
use wiggle::GuestMemory;

/// The socket's local address.
pub async fn sock_getlocaladdr(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    place: i32,
    port: i32,
) -> Result<i32> {
    let found = name(p1, fd, false);
    code(found.and_then(|found| address::write(memory, place, Some(port), &found)))
}

/// The peer's address.
pub async fn sock_getpeeraddr(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    place: i32,
    port: i32,
) -> Result<i32> {
    let found = name(p1, fd, true);
    code(found.and_then(|found| address::write(memory, place, Some(port), &found)))
}

/// Receives a message and its sender.
pub async fn sock_recv_from(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    list: i32,
    buffers: i32,
    address: i32,
    flags: i32,
    port: i32,
    count: i32,
    out_flags: i32,
) -> Result<i32> {
    let out = Received {
        address,
        port: Some(port),
        count,
        flags: out_flags,
    };
    code(receive_from(p1, memory, fd, list, buffers, flags, out).await)
}

/// The functions that are different in version 1.
pub mod v1 {
    use super::*;

    /// The socket's local address.
    pub async fn sock_getlocaladdr(
        p1: &mut P1,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        place: i32,
        kind: i32,
        port: i32,
    ) -> Result<i32> {
        let found = name(p1, fd, false);
        code(found.and_then(|found| address::write_v1(memory, place, kind, port, &found)))
    }

    /// The peer's address.
    pub async fn sock_getpeeraddr(
        p1: &mut P1,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        place: i32,
        kind: i32,
        port: i32,
    ) -> Result<i32> {
        let found = name(p1, fd, true);
        code(found.and_then(|found| address::write_v1(memory, place, kind, port, &found)))
    }

    /// Accepts a connection, without flags.
    pub async fn sock_accept(
        p1: &mut P1,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        accepted: i32,
    ) -> Result<i32> {
        match connect::accept(p1, fd, 0).await {
            Ok(fd) => code(put_u32(memory, accepted, fd)),
            Err(fail) => code(Err(fail)),
        }
    }

    /// Receives a message and its sender, without a port.
    pub async fn sock_recv_from(
        p1: &mut P1,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        list: i32,
        buffers: i32,
        address: i32,
        flags: i32,
        count: i32,
        out_flags: i32,
    ) -> Result<i32> {
        let out = Received {
            address,
            port: None,
            count,
            flags: out_flags,
        };
        code(receive_from(p1, memory, fd, list, buffers, flags, out).await)
    }
}
