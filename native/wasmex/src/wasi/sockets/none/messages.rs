//! Sending to and receiving from sockets, of which there are none.

// As many parameters as the interfaces have.
#![allow(clippy::too_many_arguments)]

use crate::wasi::errno::Fail;
use crate::wasi::sockets::connect::{no_socket, on_sockets};
use crate::wasi::sockets::state::P1;
use wiggle::GuestMemory;

on_sockets! {
    sock_send_to(_list, _count, _place, _port, _flags, _sent);
}

/// Not supported here.
pub async fn receive(
    p1: &mut P1,
    _: &mut GuestMemory<'_>,
    fd: i32,
    _list: i32,
    _count: i32,
    _flags: i32,
    _received: i32,
) -> Result<bool, Fail> {
    match no_socket(p1, fd)? {}
}

/// Not supported here.
pub async fn send(
    p1: &mut P1,
    _: &mut GuestMemory<'_>,
    fd: i32,
    _list: i32,
    _count: i32,
    _sent: i32,
) -> Result<(), Fail> {
    match no_socket(p1, fd)? {}
}

/// Where the results of `sock_recv_from` would be written.
#[allow(dead_code)]
pub struct Received {
    pub address: i32,
    pub port: Option<i32>,
    pub count: i32,
    pub flags: i32,
}

/// Not supported here.
pub async fn receive_from(
    p1: &mut P1,
    _: &mut GuestMemory<'_>,
    fd: i32,
    _list: i32,
    _count: i32,
    _flags: i32,
    _out: Received,
) -> Result<(), Fail> {
    match no_socket(p1, fd)? {}
}
