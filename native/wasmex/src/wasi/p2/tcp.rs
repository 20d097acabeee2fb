//! Connections that the host makes for components: to an Elixir process, or to a TLS server.
//!
//! wasmtime's sockets do not support them, so each socket function that may concern one checks here first.

use crate::vm::files;
use crate::wasi::context::View;
use crate::wasi::errno::Fail;
use crate::wasi::p2::connection::Connection;
use std::net::{Ipv4Addr, SocketAddr};
use std::result::Result as StdResult;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Network,
};
use wasmtime_wasi::p2::bindings::sockets::tcp::{HostTcpSocket, ShutdownType, TcpSocket};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, SocketError, SocketResult, subscribe,
};
use wasmtime_wasi::sockets::WasiSocketsView;

/// What a function returns.
pub type Answer<T> = Result<(StdResult<T, ErrorCode>,)>;
type Socket = Resource<TcpSocket>;

/// The linker must allow shadowing.
pub fn add_to_linker<T: View>(linker: &mut Linker<T>) -> Result<()> {
    let mut tcp = linker.instance("wasi:sockets/tcp@0.2.12")?;
    tcp.resource(
        "tcp-socket",
        ResourceType::host::<TcpSocket>(),
        |mut cx, rep| {
            let (wasi, p2) = cx.data_mut().wasi_and_p2();
            p2.connections.remove(&rep);
            HostTcpSocket::drop(&mut wasi.sockets(), Resource::new_own(rep))
        },
    )?;
    tcp.func_wrap("[method]tcp-socket.accept", accept)?;
    tcp.func_wrap("[method]tcp-socket.start-connect", start)?;
    tcp.func_wrap("[method]tcp-socket.finish-connect", finish)?;
    tcp.func_wrap("[method]tcp-socket.local-address", local)?;
    tcp.func_wrap("[method]tcp-socket.remote-address", remote)?;
    tcp.func_wrap("[method]tcp-socket.subscribe", wait)?;
    tcp.func_wrap("[method]tcp-socket.shutdown", shutdown)
}

/// The same result for the guest.
pub fn told<T>(result: SocketResult<T>) -> Answer<T> {
    Ok((match result {
        Ok(value) => Ok(value),
        Err(error) => Err(error.downcast()?),
    },))
}

type Accepted = (Socket, Resource<DynInputStream>, Resource<DynOutputStream>);

fn accept<T: View>(mut cx: StoreContextMut<T>, (socket,): (Socket,)) -> Answer<Accepted> {
    if !files::left() {
        return Ok((Err(ErrorCode::NewSocketLimit),));
    }
    let (wasi, _) = cx.data_mut().wasi_and_p2();
    told(wasi.sockets().accept(socket))
}

fn start<T: View>(
    mut cx: StoreContextMut<T>,
    (socket, network, to): (Socket, Resource<Network>, IpSocketAddress),
) -> Answer<()> {
    let (wasi, p2) = cx.data_mut().wasi_and_p2();
    if let Some(connection) = p2.connections.get(&socket.rep()) {
        return Ok((Err(connection.busy()),));
    }
    let made = match p2.reach.elsewhere(to.into()) {
        Ok(made) => made,
        Err(Fail::Errno(_)) => return Ok((Err(ErrorCode::ConnectionRefused),)),
        Err(Fail::Trap(trap)) => return Err(trap),
    };
    let Some(made) = made else {
        return told(wasi.sockets().start_connect(socket, network, to));
    };
    wasi.ctx().table.get(&network)?;
    if let Err(error) = unconnected(&mut wasi.sockets(), &socket, to.into()) {
        return told(Err(error));
    }
    p2.connections.insert(socket.rep(), Connection::new(made));
    Ok((Ok(()),))
}

/// Whether the socket may still be connected to this address.
fn unconnected(
    sockets: &mut impl HostTcpSocket,
    socket: &Socket,
    to: SocketAddr,
) -> SocketResult<()> {
    let this = || Resource::new_borrow(socket.rep());
    let family = sockets.address_family(this()).map_err(SocketError::trap)?;
    if matches!(family, IpAddressFamily::Ipv4) != to.is_ipv4() {
        return Err(ErrorCode::InvalidArgument.into());
    }
    let listens = sockets.is_listening(this()).map_err(SocketError::trap)?;
    match listens || sockets.remote_address(this()).is_ok() {
        true => Err(ErrorCode::InvalidState.into()),
        false => Ok(()),
    }
}

type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

fn finish<T: View>(mut cx: StoreContextMut<T>, (socket,): (Socket,)) -> Answer<Streams> {
    let (wasi, p2) = cx.data_mut().wasi_and_p2();
    let Some(connection) = p2.connections.get_mut(&socket.rep()) else {
        return told(wasi.sockets().finish_connect(socket));
    };
    let (input, output) = match connection.finish() {
        Ok(streams) => streams,
        Err(error) => return Ok((Err(error),)),
    };
    let table = wasi.ctx().table;
    let input = table.push_child(input, &socket)?;
    let output = table.push_child(output, &socket)?;
    Ok((Ok((input, output)),))
}

/// The peer address, the same as preview 1 returns for such a connection.
fn local<T: View>(mut cx: StoreContextMut<T>, (socket,): (Socket,)) -> Answer<IpSocketAddress> {
    let (wasi, p2) = cx.data_mut().wasi_and_p2();
    if let Some(connection) = p2.connections.get(&socket.rep()) {
        let nowhere = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        return Ok((connection.peer().map(|_| nowhere.into()),));
    }
    told(wasi.sockets().local_address(socket))
}

fn remote<T: View>(mut cx: StoreContextMut<T>, (socket,): (Socket,)) -> Answer<IpSocketAddress> {
    let (wasi, p2) = cx.data_mut().wasi_and_p2();
    if let Some(connection) = p2.connections.get(&socket.rep()) {
        return Ok((connection.peer().map(IpSocketAddress::from),));
    }
    told(wasi.sockets().remote_address(socket))
}

fn wait<T: View>(
    mut cx: StoreContextMut<T>,
    (socket,): (Socket,),
) -> Result<(Resource<DynPollable>,)> {
    let (wasi, p2) = cx.data_mut().wasi_and_p2();
    let table = wasi.ctx().table;
    let Some(connection) = p2.connections.get(&socket.rep()) else {
        return Ok((subscribe(table, socket)?,));
    };
    let waiting = table.push(connection.waiting())?;
    Ok((subscribe(table, waiting)?,))
}

fn shutdown<T: View>(
    mut cx: StoreContextMut<T>,
    (socket, how): (Socket, ShutdownType),
) -> Answer<()> {
    let (wasi, p2) = cx.data_mut().wasi_and_p2();
    if let Some(connection) = p2.connections.get(&socket.rep()) {
        return Ok((connection.shutdown(how),));
    }
    told(wasi.sockets().shutdown(socket, how))
}
