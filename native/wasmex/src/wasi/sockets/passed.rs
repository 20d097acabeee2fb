//! Listeners whose connections come from Elixir: each is a descriptor sent through a socket pair.
//!
//! So the guest accepts, polls and closes as with any listener, and the system queues pending connections.

use crate::wasi::sockets::system::{PASSED, SEND, prepare};
use rustix::cmsg_space;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    self, RecvAncillaryBuffer, RecvAncillaryMessage, SendAncillaryBuffer, SendAncillaryMessage,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;

/// Passes one end of a connection to the listener. `AGAIN` if its queue is full, `PIPE` if it is closed.
pub fn connect(listener: BorrowedFd<'_>, connection: &OwnedFd) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = [connection.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&rights)) {
        return Err(Errno::NOBUFS);
    }
    let byte = [IoSlice::new(b"c")];
    net::sendmsg(listener, &byte, &mut control, SEND).map(|_| ())
}

/// Takes the next connection.
pub fn accept(listener: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut target = [IoSliceMut::new(&mut byte)];
    let received = net::recvmsg(listener, &mut target, &mut control, PASSED)?;
    if received.bytes == 0 {
        // No one can connect any more.
        return Err(Errno::INVAL);
    }
    let mut messages = control.drain();
    let connection = messages.find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    prepare(connection.ok_or(Errno::CONNABORTED)?)
}
