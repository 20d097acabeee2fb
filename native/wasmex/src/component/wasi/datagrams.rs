//! Sending datagrams.
//!
//! A datagram may have any size in a guest's memory, and one that no network transports is an error for the guest.
//! wasmtime copies it before the system tells.

use super::bytes::GuestBytes;
use crate::guest::data::StoreData;
use wasmtime::component::{ComponentType, Lift, Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    HostOutgoingDatagramStream, OutgoingDatagram, OutgoingDatagramStream,
};
use wasmtime_wasi::sockets::WasiSocketsView;

/// The most bytes of a datagram that its length field can state (RFC 768).
const LONGEST: usize = u16::MAX as usize;

/// As many as wasmtime permits at a time.
const PERMITTED: usize = 16;

/// The linker must allow shadowing.
pub fn add_to_linker(linker: &mut Linker<StoreData>) -> Result<()> {
    let mut udp = linker.instance("wasi:sockets/udp@0.2.12")?;
    udp.func_wrap("[method]outgoing-datagram-stream.send", send)
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Datagram {
    data: GuestBytes,
    #[component(name = "remote-address")]
    remote_address: Option<IpSocketAddress>,
}

type Params = (Resource<OutgoingDatagramStream>, Vec<Datagram>);

/// Sends those before the first that is too large.
fn send(
    mut cx: StoreContextMut<StoreData>,
    (stream, datagrams): Params,
) -> Result<(std::result::Result<u64, ErrorCode>,)> {
    if datagrams.len() > PERMITTED {
        let text = "a guest sent more datagrams at once than `check-send` permitted";
        return Err(wasmtime::Error::msg(text));
    }
    let fits = datagrams.iter().take_while(|one| one.data.len() <= LONGEST);
    let fitting = fits.count();
    if fitting == 0 && !datagrams.is_empty() {
        return Ok((Err(ErrorCode::DatagramTooLarge),));
    }
    let datagrams = datagrams.into_iter().take(fitting);
    let datagrams = datagrams.map(|one| OutgoingDatagram {
        // SAFETY: this function holds the store until it returns, and runs no guest.
        data: unsafe { one.data.get() }.to_vec(),
        remote_address: one.remote_address,
    });
    let datagrams = datagrams.collect();
    let mut sockets = cx.data_mut().sockets();
    Ok((match sockets.send(stream, datagrams) {
        Ok(sent) => Ok(sent),
        Err(error) => Err(error.downcast()?),
    },))
}
