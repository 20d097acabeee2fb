//! Sockets by path: `path_open` of `tcp+listen://127.0.0.1:8080`, `tcp+dial://db.internal:5432`, `unix+dial:///run/db.sock`.
//!
//! For guests without sockets, as wasi-go has it: the opened path is read, written or accepted from. The directory does
//! not matter. Of the options after a `?`, `nonblock=1` and `backlog=N` are known.

use crate::wasi::digits::number;
use crate::wasi::errno::{Fail, INPROGRESS, INVAL, NOENT};
use crate::wasi::sockets::address::{Address, INET, INET6, UNIX};
use crate::wasi::sockets::connect::{self, STREAM};
use crate::wasi::sockets::names;
use crate::wasi::sockets::readiness::NONBLOCK;
use crate::wasi::sockets::state::P1;
use std::net::{IpAddr, SocketAddr};

/// A parsed path.
pub struct Url {
    listens: bool,
    /// `INET`, `INET6`, `UNIX`, or 0 for any of the first two.
    family: i32,
    place: String,
    nonblocking: bool,
    backlog: Option<i32>,
}

/// `None` for the path of a file.
pub fn parse(path: &[u8]) -> Option<Url> {
    let path = std::str::from_utf8(path).ok()?;
    let (scheme, rest) = path.split_once("://")?;
    let (network, operation) = scheme.split_once('+')?;
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let option = |name: &str| {
        let mut options = options
            .split('&')
            .filter_map(|option| option.split_once('='));
        options
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    };
    Some(Url {
        listens: match operation {
            "listen" => true,
            "dial" => false,
            _ => return None,
        },
        family: match network {
            "tcp" => 0,
            "tcp4" => INET,
            "tcp6" => INET6,
            "unix" => UNIX,
            _ => return None,
        },
        place: place.to_string(),
        nonblocking: option("nonblock") == Some("1"),
        backlog: option("backlog").and_then(number),
    })
}

/// Returns the socket's descriptor.
pub async fn open(p1: &mut P1, url: Url, flags: u16) -> Result<u32, Fail> {
    let address = match url.family {
        UNIX => Address::Unix(url.place.into()),
        family => net(p1, &url.place, family, url.listens).await?,
    };
    let flags = flags | if url.nonblocking { NONBLOCK } else { 0 };
    let family = match &address {
        Address::Net(SocketAddr::V4(_)) => INET,
        Address::Net(SocketAddr::V6(_)) => INET6,
        Address::Unix(_) => UNIX,
    };
    let fd = connect::open(p1, family, STREAM)?;
    let number = fd.cast_signed();
    p1.descriptors.socket_mut(number)?.flags = flags;
    let done = match url.listens {
        true => connect::listen_at(p1, number, &address, url.backlog),
        false => connect::dial(p1, number, &address).await,
    };
    match done {
        Ok(()) | Err(Fail::Errno(INPROGRESS)) => Ok(fd),
        Err(fail) => {
            p1.descriptors.remove(number);
            Err(fail)
        }
    }
}

/// An IPv6 address without its brackets, a name as it is.
fn without_brackets(host: &str) -> Option<&str> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']'),
        None => Some(host),
    }
}

/// `host:port`; a name is looked up.
async fn net(p1: &mut P1, place: &str, family: i32, listens: bool) -> Result<Address, Fail> {
    let (host, port) = place.rsplit_once(':').ok_or(INVAL)?;
    let port: u16 = number(port).ok_or(INVAL)?;
    let host = without_brackets(host).ok_or(INVAL)?;
    let found = match host.is_empty() {
        true => vec![names::own_address(family, listens)],
        false => names::find(p1, host, family).await?,
    };
    let first = found.iter().find(|ip| ip.is_ipv4()).or(found.first());
    let ip: IpAddr = *first.ok_or(NOENT)?;
    Ok(Address::Net(SocketAddr::new(ip, port)))
}
