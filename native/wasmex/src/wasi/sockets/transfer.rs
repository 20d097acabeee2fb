//! Reading and writing sockets.

// As many parameters as the interfaces have.
#![allow(clippy::too_many_arguments)]

use crate::wasi::calls;
use crate::wasi::errno::{AGAIN, Fail, INVAL, ISCONN, code};
use crate::wasi::sockets::address::{self, Address};
use crate::wasi::sockets::descriptors::Descriptor;
use crate::wasi::sockets::memory::{Target, gather, pointer, put, put_count};
use crate::wasi::sockets::socket::{Direction, NONBLOCK, Socket};
use crate::wasi::sockets::state::P1;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use std::borrow::Cow;
use std::io::IoSlice;
use wasmtime::Result;
use wiggle::GuestMemory;

/// Flags of `sock_recv` (`riflags`): peek, wait for all.
const PEEK: i32 = 1;
const WAIT_ALL: i32 = 2;

/// The message was truncated (`roflags`).
const TRUNCATED: u16 = 1;

/// The file with this number, unless it is a socket.
fn file(p1: &P1, fd: i32) -> Result<Option<i32>, Fail> {
    Ok(match p1.descriptors.get(fd)? {
        Descriptor::File(file) => Some(*file),
        Descriptor::Socket(_) => None,
    })
}

/// Reads from a file or a socket.
pub async fn fd_read(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    list: i32,
    count: i32,
    read: i32,
) -> Result<i32> {
    match file(p1, fd) {
        Ok(Some(0)) if p1.standard[0] & NONBLOCK != 0 && !input_is_ready(p1).await? => Ok(AGAIN),
        Ok(Some(file)) => calls::fd_read(&mut p1.ctx, memory, file, list, count, read).await,
        Ok(None) => code(
            receive(p1, memory, fd, list, count, 0, read)
                .await
                .map(|_| ()),
        ),
        Err(fail) => code(Err(fail)),
    }
}

/// Whether standard input can be read without waiting: wasmtime polls it with a zero timeout.
async fn input_is_ready(p1: &mut P1) -> Result<bool> {
    const EVENTS: usize = 96;
    const COUNT: usize = 160;
    let mut scratch = [0; COUNT + 8];
    // Two subscriptions: a read of descriptor 0, and the monotonic clock, at once.
    scratch[8] = 1;
    scratch[48 + 16] = 1;
    let mut memory = GuestMemory::Unshared(&mut scratch);
    let polled = calls::poll_oneoff(&mut p1.ctx, &mut memory, 0, EVENTS as i32, 2, COUNT as i32);
    let errno = polled.await?;
    let events = scratch[EVENTS..COUNT]
        .chunks_exact(32)
        .take(scratch[COUNT].into());
    // The read itself reports errors.
    Ok(errno != 0 || events.map(|event| event[10]).any(|kind| kind == 1))
}

/// Writes to a file or a socket.
pub async fn fd_write(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    list: i32,
    count: i32,
    written: i32,
) -> Result<i32> {
    match file(p1, fd) {
        Ok(Some(file)) => calls::fd_write(&mut p1.ctx, memory, file, list, count, written).await,
        Ok(None) => code(send(p1, memory, fd, list, count, written).await),
        Err(fail) => code(Err(fail)),
    }
}

/// Receives from a socket.
pub async fn sock_recv(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    list: i32,
    count: i32,
    flags: i32,
    received: i32,
    out_flags: i32,
) -> Result<i32> {
    match file(p1, fd) {
        Ok(Some(file)) => calls::sock_recv(
            &mut p1.ctx,
            memory,
            file,
            list,
            count,
            flags,
            received,
            out_flags,
        ),
        Ok(None) => code(recv(p1, memory, fd, list, count, flags, received, out_flags).await),
        Err(fail) => code(Err(fail)),
    }
}

async fn recv(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    list: i32,
    count: i32,
    flags: i32,
    received: i32,
    out_flags: i32,
) -> Result<(), Fail> {
    let truncated = receive(p1, memory, fd, list, count, flags, received).await?;
    let flags = if truncated { TRUNCATED } else { 0 };
    put(memory, pointer(out_flags), &flags.to_le_bytes())
}

/// Sends to a socket.
pub async fn sock_send(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    list: i32,
    count: i32,
    flags: i32,
    sent: i32,
) -> Result<i32> {
    match file(p1, fd) {
        Ok(Some(file)) => calls::sock_send(&mut p1.ctx, memory, file, list, count, flags, sent),
        // None are defined (`siflags`).
        Ok(None) if flags != 0 => Ok(INVAL),
        Ok(None) => code(send(p1, memory, fd, list, count, sent).await),
        Err(fail) => code(Err(fail)),
    }
}

/// Whether the message was truncated.
async fn receive(
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
    how.set(RecvFlags::TRUNC, socket.datagrams);
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

async fn send(
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
            rustix::net::sendmsg(fd, slices, &mut control, SendFlags::NOSIGNAL)
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
        rustix::net::sendmsg_addr(fd, &to, &slices, &mut control, SendFlags::NOSIGNAL)
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
        let from = from.and_then(address::of_any);
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
