//! Listeners, of which there are none.

use crate::vm::atoms;
use crate::vm::error::Error;
use crate::vm::resource::ResourceArc;
use crate::wasi::places::Listen;
use crate::wasi::sockets::handle::{EndResource, ListenerResource};
use crate::wasi::sockets::socket::Socket;
use rustler::{Env, Term};

const UNSUPPORTED: &str = "guests of preview 1 have no sockets on this system";

/// Not supported here.
pub fn open(_: Listen) -> wasmtime::Result<Socket> {
    Err(wasmtime::Error::msg(format!("listen: {UNSUPPORTED}")))
}

fn unsupported(env: Env) -> Term {
    Error::text(atoms::socket(), UNSUPPORTED.to_string()).to_term(env)
}

/// Not supported here.
#[rustler::nif]
fn socket_listen<'a>(env: Env<'a>, _listen: Listen) -> Term<'a> {
    unsupported(env)
}

/// Not supported here.
#[rustler::nif]
fn socket_pipe<'a>(env: Env<'a>, _once: bool) -> Term<'a> {
    unsupported(env)
}

/// Not supported here.
#[rustler::nif]
fn socket_address(listener: ResourceArc<ListenerResource>) -> rustler::Atom {
    match listener.never {}
}

/// Not supported here.
#[rustler::nif]
fn socket_connect(listener: ResourceArc<ListenerResource>) -> rustler::Atom {
    match listener.never {}
}

/// Not supported here.
#[rustler::nif]
fn socket_end_close(end: ResourceArc<EndResource>) -> rustler::Atom {
    match end.never {}
}
