//! `sock_getsockopt` and `sock_setsockopt`, with the numbers of the interface.
//!
//! Most values are four-byte numbers. `SO_LINGER` is two of them, `{on, seconds}`; timeouts are wasi-libc's `timeval`:
//! seconds and microseconds of eight bytes each.

use crate::wasi::errno::{self, Fail, INVAL, NOPROTOOPT, code};
use crate::wasi::sockets::memory::{bytes, little_endian, pointer, put, put_u32, read_u32};
use crate::wasi::sockets::socket::Socket;
use crate::wasi::sockets::state::P1;
use rustix::net::sockopt;
use std::time::Duration;
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
const OUT_OF_BAND_INLINE: i32 = 8;
const LINGER: i32 = 9;
const RECEIVE_TIMEOUT: i32 = 11;
const SEND_TIMEOUT: i32 = 12;
const ACCEPTS: i32 = 13;

/// The numbers of Linux, which wasi-go uses too.
const NO_DELAY: i32 = 1;
const NO_DELAY_WASI_GO: i32 = 15;

/// The maximum size of an option's value.
const MAX_VALUE: u32 = 16;

/// The size of an option's value.
fn size(level: i32, name: i32) -> usize {
    match (level, name) {
        (SOCKET, LINGER) => 8,
        (SOCKET, RECEIVE_TIMEOUT | SEND_TIMEOUT) => 16,
        _ => 4,
    }
}

/// Reads an option. The length is a number in the interface of wasi-go, and a pointer to one in that of WasmEdge.
pub async fn sock_getsockopt(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    level: i32,
    name: i32,
    value: i32,
    len: i32,
) -> Result<i32> {
    let mut get = || {
        let socket = p1.descriptors.socket(fd)?;
        let found = get(socket, level, name)?;
        let by_pointer = pointer(len) > MAX_VALUE;
        let room = match by_pointer {
            true => read_u32(memory, pointer(len))?,
            false => pointer(len),
        };
        if (room as usize) < found.len() {
            return Err(INVAL.into());
        }
        put(memory, pointer(value), &found)?;
        match (by_pointer, u32::try_from(found.len())) {
            (true, Ok(used)) => put_u32(memory, len, used),
            _ => Ok(()),
        }
    };
    code(get())
}

fn get(socket: &Socket, level: i32, name: i32) -> Result<Vec<u8>, Fail> {
    Ok(match (level, name) {
        (SOCKET, LINGER) => {
            let on = u32::from(socket.linger.is_some());
            let seconds = socket.linger.unwrap_or(0);
            [on.to_le_bytes(), seconds.to_le_bytes()].concat()
        }
        (SOCKET, RECEIVE_TIMEOUT) => timeval(socket.read_timeout),
        (SOCKET, SEND_TIMEOUT) => timeval(socket.write_timeout),
        _ => number(socket, level, name)?.to_le_bytes().to_vec(),
    })
}

/// Zero means no limit.
fn timeval(limit: Option<Duration>) -> Vec<u8> {
    let limit = limit.unwrap_or_default();
    let micros = u64::from(limit.subsec_micros());
    [limit.as_secs().to_le_bytes(), micros.to_le_bytes()].concat()
}

fn number(socket: &Socket, level: i32, name: i32) -> Result<u32, Fail> {
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
        (SOCKET, OUT_OF_BAND_INLINE) => flag(sockopt::socket_oobinline(fd)?),
        (SOCKET, ACCEPTS) => flag(socket.listening),
        (TCP, NO_DELAY | NO_DELAY_WASI_GO) if is_local(socket) => 1,
        (TCP, NO_DELAY | NO_DELAY_WASI_GO) => flag(sockopt::tcp_nodelay(fd)?),
        _ => return Err(NOPROTOOPT.into()),
    })
}

/// A socket pair has no delay.
fn is_local(socket: &Socket) -> bool {
    socket.in_memory || socket.made().is_some()
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
    let mut set = || {
        let max_buffer = p1.net.max_buffer;
        let socket = p1.descriptors.socket_mut(fd)?;
        let size = size(level, name);
        if (pointer(len) as usize) < size {
            return Err(INVAL.into());
        }
        let size = u32::try_from(size).map_err(|_| INVAL)?;
        let value = bytes(memory, pointer(value), size)?;
        set(socket, level, name, &value, max_buffer)
    };
    code(set())
}

fn set(
    socket: &mut Socket,
    level: i32,
    name: i32,
    value: &[u8],
    max_buffer: usize,
) -> Result<(), Fail> {
    let number = little_endian(&value[..4]);
    let fd = socket.fd();
    // A larger value than allowed is reduced to the maximum, as the system does.
    let size = (number as usize).min(max_buffer);
    match (level, name) {
        (SOCKET, REUSE_ADDRESS) => sockopt::set_socket_reuseaddr(fd, number != 0)?,
        (SOCKET, BROADCAST) => sockopt::set_socket_broadcast(fd, number != 0)?,
        (SOCKET, SEND_BUFFER) => sockopt::set_socket_send_buffer_size(fd, size)?,
        (SOCKET, RECEIVE_BUFFER) => sockopt::set_socket_recv_buffer_size(fd, size)?,
        (SOCKET, KEEP_ALIVE) => sockopt::set_socket_keepalive(fd, number != 0)?,
        (SOCKET, OUT_OF_BAND_INLINE) => sockopt::set_socket_oobinline(fd, number != 0)?,
        (SOCKET, LINGER) => {
            let linger = (number != 0).then(|| little_endian(&value[4..]));
            // With seconds, closing would block a thread; the system sends remaining data without it.
            let reset = (linger == Some(0)).then_some(Duration::ZERO);
            sockopt::set_socket_linger(fd, reset)?;
            socket.linger = linger;
        }
        (SOCKET, RECEIVE_TIMEOUT) => socket.read_timeout = duration(value)?,
        (SOCKET, SEND_TIMEOUT) => socket.write_timeout = duration(value)?,
        (TCP, NO_DELAY | NO_DELAY_WASI_GO) if is_local(socket) => {}
        (TCP, NO_DELAY | NO_DELAY_WASI_GO) => sockopt::set_tcp_nodelay(fd, number != 0)?,
        _ => return Err(NOPROTOOPT.into()),
    }
    Ok(())
}

/// Zero means no limit; an invalid time is an error.
fn duration(value: &[u8]) -> Result<Option<Duration>, Fail> {
    let part = |at: usize| {
        let bytes = value.get(at..at + 8).and_then(|part| part.try_into().ok());
        bytes.map(u64::from_le_bytes).ok_or(INVAL)
    };
    let (seconds, micros) = (part(0)?, part(8)?);
    if i64::try_from(seconds).is_err() || micros >= 1_000_000 {
        return Err(INVAL.into());
    }
    // More than a year counts as forever, which avoids overflows.
    let limit = Duration::from_secs(seconds.min(MAX_SECONDS)) + Duration::from_micros(micros);
    Ok((!limit.is_zero()).then_some(limit))
}

const MAX_SECONDS: u64 = 366 * 24 * 3600;
