//! Sockets by path: `path_open` of `tcp+listen://127.0.0.1:8080`, `tcp+dial://db.internal:5432`, `unix+dial:///run/db.sock`.
//!
//! For guests without sockets, as wasi-go has it: the opened path is read, written or accepted from. The directory does
//! not matter, and options after a `?` are ignored.

use crate::wasi::errno::{Fail, INPROGRESS, INVAL, NOENT};
use crate::wasi::sockets::address::{Address, INET, INET6, UNIX};
use crate::wasi::sockets::connect::{self, STREAM};
use crate::wasi::sockets::names;
use crate::wasi::sockets::state::P1;
use std::net::{IpAddr, SocketAddr};

/// A parsed path.
pub enum Url {
    Listen(String),
    Dial(String),
    ListenUnix(String),
    DialUnix(String),
}

/// `None` for the path of a file.
pub fn parse(path: &[u8]) -> Option<Url> {
    let path = std::str::from_utf8(path).ok()?;
    let (scheme, rest) = path.split_once("://")?;
    let rest = rest.split('?').next().unwrap_or_default().to_string();
    Some(match scheme {
        "tcp+listen" => Url::Listen(rest),
        "tcp+dial" => Url::Dial(rest),
        "unix+listen" => Url::ListenUnix(rest),
        "unix+dial" => Url::DialUnix(rest),
        _ => return None,
    })
}

/// Returns the socket's descriptor.
pub async fn open(p1: &mut P1, url: Url, flags: u16) -> Result<u32, Fail> {
    let listens = matches!(url, Url::Listen(_) | Url::ListenUnix(_));
    let address = match url {
        Url::Listen(place) | Url::Dial(place) => net(p1, &place).await?,
        Url::ListenUnix(path) | Url::DialUnix(path) => Address::Unix(path.into()),
    };
    let family = match &address {
        Address::Net(SocketAddr::V4(_)) => INET,
        Address::Net(SocketAddr::V6(_)) => INET6,
        Address::Unix(_) => UNIX,
    };
    let fd = connect::open(p1, family, STREAM)?;
    let number = fd.cast_signed();
    p1.descriptors.socket_mut(number)?.flags = flags;
    let done = match listens {
        true => connect::listen_at(p1, number, &address),
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

/// `host:port`; a name is looked up.
async fn net(p1: &mut P1, place: &str) -> Result<Address, Fail> {
    let (host, port) = place.rsplit_once(':').ok_or(INVAL)?;
    let port: u16 = port.parse().map_err(|_| INVAL)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = names::find(p1, host, 0).await?;
    let first = found.iter().find(|ip| ip.is_ipv4()).or(found.first());
    let ip: IpAddr = *first.ok_or(NOENT)?;
    Ok(Address::Net(SocketAddr::new(ip, port)))
}
