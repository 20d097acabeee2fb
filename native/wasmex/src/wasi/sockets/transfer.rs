//! Reading and writing descriptors: files in wasmtime, sockets in [`messages`](super::messages).

// As many parameters as the interfaces have.
#![allow(clippy::too_many_arguments)]

use crate::wasi::calls;
use crate::wasi::errno::{AGAIN, Fail, INVAL, code};
use crate::wasi::sockets::descriptors::Descriptor;
use crate::wasi::sockets::memory::{pointer, put};
use crate::wasi::sockets::messages::{receive, send};
use crate::wasi::sockets::readiness::NONBLOCK;
use crate::wasi::sockets::state::P1;
use wasmtime::Result;
use wiggle::GuestMemory;

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
