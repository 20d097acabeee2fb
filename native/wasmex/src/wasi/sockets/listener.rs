//! Listeners: opened for a store, or by Elixir, which also connects to those without an address.

use crate::vm::atoms;
use crate::vm::error::Error;
use crate::vm::resource::ResourceArc;
use crate::wasi::places::Listen;
use crate::wasi::sockets::address::Address;
use crate::wasi::sockets::handle::{EndResource, ListenerResource};
use crate::wasi::sockets::socket::{Accepts, Socket, of_any};
use rustix::fd::AsRawFd;
use rustler::{Encoder, Env, Term};
use std::io;
use std::sync::PoisonError;

/// The guest's listener for an entry of `listen`.
pub fn open(listen: Listen) -> wasmtime::Result<Socket> {
    let what = match &listen {
        Listen::Tcp(at) => format!("listen: tcp://{at}"),
        Listen::Unix(path) => format!("listen: unix://{}", path.display()),
        Listen::Handle(_) | Listen::Bind(_) => "listen: the listener".to_string(),
    };
    socket(listen).map_err(|error| wasmtime::Error::msg(format!("{what}: {error}")))
}

fn socket(listen: Listen) -> io::Result<Socket> {
    let opened = match listen {
        Listen::Tcp(at) => ListenerResource::tcp(at)?,
        Listen::Unix(path) => ListenerResource::unix(&path)?,
        Listen::Handle(listener) => {
            let (fd, accepts) = listener.share()?;
            return Ok(Socket::listener(fd, accepts, None));
        }
        Listen::Bind(_) => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let (fd, path) = opened.into_parts()?;
    Ok(Socket::listener(fd, Accepts::System, path))
}

fn failed(error: &io::Error) -> Error {
    Error::text(atoms::socket(), error.to_string())
}

/// `listen` is an entry of the option with that name, except for an address for the guest.
#[rustler::nif]
fn socket_listen<'a>(env: Env<'a>, listen: Listen) -> Term<'a> {
    let made = match listen {
        Listen::Tcp(at) => ListenerResource::tcp(at),
        Listen::Unix(path) => ListenerResource::unix(&path),
        Listen::Handle(_) | Listen::Bind(_) => Err(io::ErrorKind::InvalidInput.into()),
    };
    reply(env, made)
}

/// A listener without an address, which moves to the first guest that gets it or stays.
#[rustler::nif]
fn socket_pipe<'a>(env: Env<'a>, once: bool) -> Term<'a> {
    reply(env, ListenerResource::in_memory(once))
}

fn reply(env: Env, made: io::Result<ListenerResource>) -> Term {
    match made {
        Ok(listener) => (atoms::ok(), ResourceArc::new(listener)).encode(env),
        Err(error) => failed(&error).to_term(env),
    }
}

/// `{:tcp, address, port}`, `{:unix, path}`, or nil.
#[rustler::nif]
fn socket_address<'a>(env: Env<'a>, listener: ResourceArc<ListenerResource>) -> Term<'a> {
    match listener.address().and_then(of_any) {
        Some(Address::Net(at)) => (atoms::tcp(), at.ip().to_string(), at.port()).encode(env),
        Some(Address::Unix(path)) => {
            (atoms::unix(), path.to_string_lossy().into_owned()).encode(env)
        }
        None => atoms::nil().encode(env),
    }
}

/// `{:ok, end, descriptor}`: a connection to the listener's owner; or `{:error, posix}`.
#[rustler::nif]
fn socket_connect<'a>(env: Env<'a>, listener: ResourceArc<ListenerResource>) -> Term<'a> {
    match listener.connect() {
        Ok(fd) => {
            let number = fd.as_raw_fd();
            let end = ResourceArc::new(EndResource::new(fd));
            (atoms::ok(), end, number).encode(env)
        }
        Err(error) => (atoms::error(), posix(&error)).encode(env),
    }
}

/// OTP's name of an error.
fn posix(error: &io::Error) -> rustler::Atom {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => atoms::eagain(),
        Some(libc::EPIPE | libc::ECONNRESET | libc::ECONNREFUSED) => atoms::epipe(),
        Some(libc::EMFILE) => atoms::emfile(),
        Some(libc::ENFILE) => atoms::enfile(),
        Some(libc::EOPNOTSUPP) => atoms::eopnotsupp(),
        _ => atoms::einval(),
    }
}

/// OTP has its own handle of it now.
#[rustler::nif]
fn socket_end_close(end: ResourceArc<EndResource>) -> rustler::Atom {
    let closed = end.fd.lock().unwrap_or_else(PoisonError::into_inner).take();
    drop(closed);
    atoms::ok()
}
