//! `sock_getsockopt` and `sock_setsockopt`, with the numbers of the interface.

use crate::wasi::errno::{self, Fail, INVAL, NOPROTOOPT, code};
use crate::wasi::sockets::memory::{bytes, little_endian, pointer, put_u32};
use crate::wasi::sockets::socket::Socket;
use crate::wasi::sockets::state::P1;
use rustix::net::sockopt;
use wasmtime::Result;
use wiggle::GuestMemory;

/// Levels: of sockets, and of TCP.
const SOCKET: i32 = 0;
const TCP: i32 = 6;

const REUSE_ADDRESS: i32 = 0;
const TYPE: i32 = 1;
const ERROR: i32 = 2;
const BROADCAST: i32 = 4;
const SEND_BUFFER: i32 = 5;
const RECEIVE_BUFFER: i32 = 6;
const KEEP_ALIVE: i32 = 7;
const ACCEPTS: i32 = 13;
const NO_DELAY: i32 = 1;

/// Reads an option, a number of four bytes.
pub async fn sock_getsockopt(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    level: i32,
    name: i32,
    value: i32,
    len: i32,
) -> Result<i32> {
    let get = || {
        let socket = p1.descriptors.socket(fd)?;
        if pointer(len) < 4 {
            return Err(INVAL.into());
        }
        get(socket, level, name)
    };
    code(get().and_then(|found| put_u32(memory, value, found)))
}

fn get(socket: &Socket, level: i32, name: i32) -> Result<u32, Fail> {
    let fd = socket.fd();
    if let (SOCKET, ERROR, Some(made)) = (level, name, socket.made()) {
        return Ok(made.take_error().cast_unsigned());
    }
    let flag = |value: bool| u32::from(value);
    let size = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Ok(match (level, name) {
        (SOCKET, REUSE_ADDRESS) => flag(sockopt::socket_reuseaddr(fd)?),
        (SOCKET, TYPE) => {
            if socket.datagrams {
                1
            } else {
                2
            }
        }
        (SOCKET, ERROR) => match sockopt::socket_error(fd)? {
            Ok(()) => 0,
            Err(found) => errno::of(&found.into()).cast_unsigned(),
        },
        (SOCKET, BROADCAST) => flag(sockopt::socket_broadcast(fd)?),
        (SOCKET, SEND_BUFFER) => size(sockopt::socket_send_buffer_size(fd)?),
        (SOCKET, RECEIVE_BUFFER) => size(sockopt::socket_recv_buffer_size(fd)?),
        (SOCKET, KEEP_ALIVE) => flag(sockopt::socket_keepalive(fd)?),
        (SOCKET, ACCEPTS) => flag(socket.listening),
        (TCP, NO_DELAY) => flag(sockopt::tcp_nodelay(fd)?),
        _ => return Err(NOPROTOOPT.into()),
    })
}

/// Sets an option.
pub async fn sock_setsockopt(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    level: i32,
    name: i32,
    value: i32,
    len: i32,
) -> Result<i32> {
    let set = || {
        let socket = p1.descriptors.socket(fd)?;
        if pointer(len) < 4 {
            return Err(INVAL.into());
        }
        let value = little_endian(&bytes(memory, pointer(value), 4)?);
        set(socket, level, name, value, p1.net.max_buffer)
    };
    code(set())
}

fn set(socket: &Socket, level: i32, name: i32, value: u32, max_buffer: usize) -> Result<(), Fail> {
    let fd = socket.fd();
    // A larger value than allowed is reduced to the maximum, as the system does.
    let size = (value as usize).min(max_buffer);
    match (level, name) {
        (SOCKET, REUSE_ADDRESS) => sockopt::set_socket_reuseaddr(fd, value != 0)?,
        (SOCKET, BROADCAST) => sockopt::set_socket_broadcast(fd, value != 0)?,
        (SOCKET, SEND_BUFFER) => sockopt::set_socket_send_buffer_size(fd, size)?,
        (SOCKET, RECEIVE_BUFFER) => sockopt::set_socket_recv_buffer_size(fd, size)?,
        (SOCKET, KEEP_ALIVE) => sockopt::set_socket_keepalive(fd, value != 0)?,
        // Sockets other than TCP have no delay.
        (TCP, NO_DELAY) if socket.in_memory || socket.made().is_some() => {}
        (TCP, NO_DELAY) => sockopt::set_tcp_nodelay(fd, value != 0)?,
        _ => return Err(NOPROTOOPT.into()),
    }
    Ok(())
}
