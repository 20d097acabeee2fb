//! Sending to and receiving from sockets.

// As many parameters as the interfaces have.
#![allow(clippy::too_many_arguments)]

use crate::wasi::errno::{Fail, INVAL, ISCONN, code};
use crate::wasi::sockets::address::{self, Address};
use crate::wasi::sockets::memory::{Target, gather, pointer, put, put_count};
use crate::wasi::sockets::readiness::Direction;
use crate::wasi::sockets::socket::{Socket, of_any};
use crate::wasi::sockets::state::P1;
use crate::wasi::sockets::system::{SEND, WHOLE};
use rustix::net::{RecvFlags, SendAncillaryBuffer};
use std::borrow::Cow;
use std::io::IoSlice;
use wasmtime::Result;
use wiggle::GuestMemory;

/// Flags of `sock_recv` (`riflags`): peek, wait for all.
const PEEK: i32 = 1;
const WAIT_ALL: i32 = 2;

/// Receives from a socket. Returns whether the message was truncated.
pub async fn receive(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    list: i32,
    count: i32,
    flags: i32,
    received: i32,
) -> Result<bool, Fail> {
    if flags & !(PEEK | WAIT_ALL) != 0 {
        return Err(INVAL.into());
    }
    let socket = p1.descriptors.socket(fd)?;
    let mut target = Target::new(memory, list, count)?;
    let slice = target.slice(memory)?;
    let wait_all = flags & WAIT_ALL != 0 && flags & PEEK == 0 && !socket.datagrams;
    let (len, truncated) = match wait_all {
        true => (fill(socket, slice).await?, false),
        false => read(socket, slice, flags).await?,
    };
    target.finish(memory, len)?;
    put_count(memory, received, len)?;
    Ok(truncated)
}

/// Flags for the system: the full length of a message is needed, even if it is truncated.
fn recv_flags(socket: &Socket, flags: i32) -> RecvFlags {
    let mut how = RecvFlags::empty();
    how.set(RecvFlags::PEEK, flags & PEEK != 0);
    how.set(WHOLE, socket.datagrams);
    how
}

async fn read(socket: &Socket, slice: &mut [u8], flags: i32) -> Result<(usize, bool), Fail> {
    // Reading zero bytes from a stream would wait for data.
    if slice.is_empty() && !socket.datagrams {
        return Ok((0, false));
    }
    let how = recv_flags(socket, flags);
    let nonblocking = socket.nonblocking();
    let read = socket.attempt(Direction::Read, nonblocking, |fd| {
        rustix::net::recv(fd, &mut *slice, how)
    });
    let (len, whole) = read.await?;
    Ok((len, whole > len))
}

/// Until the buffer is full or the stream ends.
async fn fill(socket: &Socket, slice: &mut [u8]) -> Result<usize, Fail> {
    let mut done = 0;
    while done < slice.len() {
        match read(socket, &mut slice[done..], 0).await {
            Ok((0, _)) => break,
            Ok((len, _)) => done += len,
            Err(_) if done > 0 => break,
            Err(fail) => return Err(fail),
        }
    }
    Ok(done)
}

/// Sends to a socket.
pub async fn send(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    list: i32,
    count: i32,
    sent: i32,
) -> Result<(), Fail> {
    let socket = p1.descriptors.socket(fd)?;
    let buffers = gather(memory, list, count)?;
    let len = write(socket, &buffers).await?;
    drop(buffers);
    put_count(memory, sent, len)
}

/// For a blocking guest all of it is sent, as with a blocking socket.
async fn write(socket: &Socket, buffers: &[Cow<'_, [u8]>]) -> Result<usize, Fail> {
    let mut slices: Vec<_> = buffers.iter().map(|buffer| IoSlice::new(buffer)).collect();
    let mut slices = &mut slices[..];
    let nonblocking = socket.nonblocking();
    let mut done = 0;
    loop {
        let sent = socket.attempt(Direction::Write, nonblocking, |fd| {
            let mut control = SendAncillaryBuffer::default();
            rustix::net::sendmsg(fd, slices, &mut control, SEND)
        });
        match sent.await {
            Ok(len) => {
                done += len;
                IoSlice::advance_slices(&mut slices, len);
                if nonblocking || socket.datagrams || slices.is_empty() || len == 0 {
                    return Ok(done);
                }
            }
            Err(_) if done > 0 => return Ok(done),
            Err(fail) => return Err(fail),
        }
    }
}

/// Sends a message to an address.
pub async fn sock_send_to(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    list: i32,
    count: i32,
    place: i32,
    port: i32,
    flags: i32,
    sent: i32,
) -> Result<i32> {
    code(send_to(p1, memory, fd, list, count, place, port, flags, sent).await)
}

async fn send_to(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    list: i32,
    count: i32,
    place: i32,
    port: i32,
    flags: i32,
    sent: i32,
) -> Result<(), Fail> {
    if flags != 0 {
        return Err(INVAL.into());
    }
    let socket = p1.descriptors.socket(fd)?;
    let to = address::read(memory, place, port)?;
    if !socket.datagrams {
        // As POSIX: a connected stream takes no address.
        return Err(ISCONN.into());
    }
    p1.net.check_dial(&to, true)?;
    let to = to.system()?;
    let buffers = gather(memory, list, count)?;
    let slices: Vec<_> = buffers.iter().map(|buffer| IoSlice::new(buffer)).collect();
    let len = socket.attempt(Direction::Write, socket.nonblocking(), |fd| {
        let mut control = SendAncillaryBuffer::default();
        rustix::net::sendmsg_addr(fd, &to, &slices, &mut control, SEND)
    });
    let len = len.await?;
    drop(slices);
    drop(buffers);
    put_count(memory, sent, len)
}

/// Where the results of `sock_recv_from` are written: only version 2 of the interface has a port.
pub struct Received {
    pub address: i32,
    pub port: Option<i32>,
    pub count: i32,
    pub flags: i32,
}

/// Receives a message and its sender. Messages from senders that the guest may not reach are dropped.
pub async fn receive_from(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    list: i32,
    count: i32,
    flags: i32,
    out: Received,
) -> Result<(), Fail> {
    if flags & !PEEK != 0 {
        return Err(INVAL.into());
    }
    let socket = p1.descriptors.socket(fd)?;
    let mut target = Target::new(memory, list, count)?;
    let (len, truncated, from) = loop {
        let slice = target.slice(memory)?;
        let how = recv_flags(socket, flags);
        let received = socket.attempt(Direction::Read, socket.nonblocking(), |fd| {
            rustix::net::recvfrom(fd, &mut *slice, how)
        });
        let (len, whole, from) = received.await?;
        let from = from.and_then(of_any);
        match &from {
            Some(Address::Net(from)) if socket.datagrams && !p1.net.allows_sender(*from) => {
                if flags != 0 {
                    // It was only peeked: remove it now.
                    let _ = rustix::net::recv(socket.fd(), &mut [0_u8; 1][..], RecvFlags::empty());
                }
            }
            _ => break (len, whole > len, from),
        }
    };
    target.finish(memory, len)?;
    if let Some(from) = from {
        address::write(memory, out.address, out.port, &from)?;
    }
    put_count(memory, out.count, len)?;
    put(
        memory,
        pointer(out.flags),
        &u16::from(truncated).to_le_bytes(),
    )
}
