//! `sock_getaddrinfo`: looks a name up and fills the guest's list.
//!
//! A record is `{u16 flags, u8 family, u8 kind, u32 protocol, u32 length, u32 address, u32 name, u32 name_length, u32 next}`, its
//! address `{u32 family, u32 length, u32 place}` of the port, in the network's order, and the bytes of the address.

// As many parameters as the interface has.
#![allow(clippy::too_many_arguments)]

use crate::wasi::digits::number;
use crate::wasi::errno::{Fail, INVAL, NOENT, TIMEDOUT, code};
use crate::wasi::names::Missing;
use crate::wasi::sockets::address::{INET, INET6};
use crate::wasi::sockets::memory::{bytes, little_endian, pointer, put, put_u32, read_u32};
use crate::wasi::sockets::state::P1;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use wasmtime::Result;
use wiggle::GuestMemory;

/// Maximum length of a name, with its dots (RFC 1035).
const MAX_NAME: i32 = 255;

/// A flag of the hints: the address is for listening (`AI_PASSIVE`).
const PASSIVE: u8 = 1;

/// Looks up a name.
pub async fn sock_getaddrinfo(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    node: i32,
    node_len: i32,
    service: i32,
    service_len: i32,
    hints: i32,
    list: i32,
    most: i32,
    count: i32,
) -> Result<i32> {
    let looked_up = async {
        let name = text(memory, node, node_len)?;
        let port = port(&text(memory, service, service_len)?)?;
        let hints = bytes(memory, pointer(hints), 8)?.into_owned();
        let family = i32::from(hints[2]);
        let found = match name.is_empty() {
            true => vec![own_address(family, hints[0] & PASSIVE != 0)],
            false => find(p1, &name, family).await?,
        };
        let found = found.iter().map(|ip| SocketAddr::new(*ip, port));
        let found: Vec<_> = found.take(pointer(most) as usize).collect();
        fill(memory, list, count, &found, &hints)
    };
    code(looked_up.await)
}

/// Without a name it is this machine: all its addresses for listening, or its loopback addresses for connecting.
pub fn own_address(family: i32, passive: bool) -> IpAddr {
    match (family, passive) {
        (INET6, true) => Ipv6Addr::UNSPECIFIED.into(),
        (INET6, false) => Ipv6Addr::LOCALHOST.into(),
        (_, true) => Ipv4Addr::UNSPECIFIED.into(),
        (_, false) => Ipv4Addr::LOCALHOST.into(),
    }
}

fn text(memory: &GuestMemory<'_>, at: i32, len: i32) -> Result<String, Fail> {
    if !(0..=MAX_NAME + 1).contains(&len) {
        return Err(INVAL.into());
    }
    let bytes = bytes(memory, pointer(at), pointer(len))?;
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| INVAL)?;
    Ok(text.to_string())
}

/// Well-known services by name (IANA's registry).
const SERVICES: [(&str, u16); 18] = [
    ("amqp", 5672),
    ("domain", 53),
    ("ftp", 21),
    ("http", 80),
    ("https", 443),
    ("imap", 143),
    ("imaps", 993),
    ("ldap", 389),
    ("ldaps", 636),
    ("mqtt", 1883),
    ("mysql", 3306),
    ("ntp", 123),
    ("pop3", 110),
    ("postgresql", 5432),
    ("redis", 6379),
    ("smtp", 25),
    ("ssh", 22),
    ("submission", 587),
];

fn port(service: &str) -> Result<u16, Fail> {
    if service.is_empty() {
        return Ok(0);
    }
    let known = SERVICES.iter().find(|(name, _)| *name == service);
    match known {
        Some((_, port)) => Ok(*port),
        None => number(service).ok_or(Fail::Errno(INVAL)),
    }
}

/// The addresses of a name, of one family or, with 0, of any.
pub async fn find(p1: &mut P1, name: &str, family: i32) -> Result<Vec<IpAddr>, Fail> {
    let mut found = match p1.net.reach.names.find(name).await {
        Ok(found) => found,
        Err(Missing::Refused) => {
            let why = format!("no rule of dns: or dial: allows the name {name:?}");
            return p1.net.refuse(why);
        }
        Err(Missing::Timeout) => return Err(TIMEDOUT.into()),
        Err(Missing::Invalid | Missing::Unknown) => return Err(NOENT.into()),
    };
    found.retain(|address| match family {
        INET => address.is_ipv4(),
        INET6 => address.is_ipv6(),
        _ => true,
    });
    match found.is_empty() {
        true => Err(NOENT.into()),
        false => Ok(found),
    }
}

/// Fills one record after the other, as many as the guest has allocated.
fn fill(
    memory: &mut GuestMemory<'_>,
    list: i32,
    count: i32,
    found: &[SocketAddr],
    hints: &[u8],
) -> Result<(), Fail> {
    let mut record = read_u32(memory, pointer(list))?;
    let mut filled = 0;
    for address in found {
        if record == 0 {
            break;
        }
        write(memory, record, address, hints)?;
        filled += 1;
        record = read_u32(memory, record.wrapping_add(24))?;
    }
    put_u32(memory, count, filled)
}

fn write(
    memory: &mut GuestMemory<'_>,
    record: u32,
    address: &SocketAddr,
    hints: &[u8],
) -> Result<(), Fail> {
    let (family, mut data) = match address.ip() {
        IpAddr::V4(ip) => (INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (INET6, ip.octets().to_vec()),
    };
    data.splice(..0, address.port().to_be_bytes());
    let family = family.to_le_bytes()[0];
    let place = read_u32(memory, record.wrapping_add(12))?;
    let room = little_endian(&bytes(memory, place.wrapping_add(4), 4)?);
    if (room as usize) < data.len() {
        return Err(INVAL.into());
    }
    put(memory, read_u32(memory, place.wrapping_add(8))?, &data)?;
    put(memory, place, &[family])?;
    // Flags, kind and protocol are those requested.
    put(memory, record, &[hints[0], hints[1], family, hints[3]])?;
    put(memory, record.wrapping_add(4), &hints[4..8])?;
    put_u32(memory, record.wrapping_add(8).cast_signed(), 16)?;
    put_u32(memory, record.wrapping_add(20).cast_signed(), 0)
}
