//! Socket addresses in guest memory: `{offset, length}` of the bytes, and a separate port.
//!
//! Four bytes are an IPv4 address, sixteen an IPv6 address. In version 2 an address has 128 bytes, beginning with a
//! two-byte family, and may hold the path of a unix socket. See `socket.go` of stealthrocket/net and WasmEdge's
//! `wasisocket`.

use crate::wasi::errno::{AFNOSUPPORT, Fail, INVAL};
use crate::wasi::sockets::memory::{bytes, little_endian, pointer, put, put_u32, read_u32};
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use wiggle::GuestMemory;

/// Families of addresses.
pub const INET: i32 = 1;
pub const INET6: i32 = 2;
pub const UNIX: i32 = 3;

/// Bytes of an address of version 2, and of its family.
const LONG: usize = 128;
const FAMILY: usize = 2;

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
    Unix,
}

/// The address of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Net(SocketAddr),
    /// A path; empty where it has none.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Net(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Offset and length of the bytes.
fn place(memory: &GuestMemory<'_>, at: i32) -> Result<(u32, usize), Fail> {
    let at = pointer(at);
    let len = read_u32(memory, at.wrapping_add(4))?;
    Ok((read_u32(memory, at)?, len as usize))
}

/// Reads an address from the guest.
pub fn read(memory: &GuestMemory<'_>, at: i32, port: i32) -> Result<Address, Fail> {
    let (place, len) = place(memory, at)?;
    if ![4, 16, LONG].contains(&len) {
        return Err(INVAL.into());
    }
    let given = bytes(memory, place, u32::try_from(len).map_err(|_| INVAL)?)?;
    let (family, rest) = match len {
        4 => (INET, &given[..]),
        16 => (INET6, &given[..]),
        _ => (
            little_endian(&given[..FAMILY]).cast_signed(),
            &given[FAMILY..],
        ),
    };
    let ip: IpAddr = match family {
        INET => <[u8; 4]>::try_from(&rest[..4]).map_err(|_| INVAL)?.into(),
        INET6 => <[u8; 16]>::try_from(&rest[..16]).map_err(|_| INVAL)?.into(),
        UNIX => return Ok(Address::Unix(path(rest))),
        _ => return Err(AFNOSUPPORT.into()),
    };
    let port = u16::try_from(port).map_err(|_| INVAL)?;
    Ok(Address::Net(SocketAddr::new(ip, port)))
}

/// Reads the address that a function of version 1 has written.
pub fn read_v1(memory: &GuestMemory<'_>, at: i32, is_v4: bool, port: i32) -> Result<Address, Fail> {
    let (place, _len) = place(memory, at)?;
    let bytes = bytes(memory, place, 16)?;
    let port = u16::try_from(port).map_err(|_| INVAL)?;
    let ip: IpAddr = match is_v4 {
        true => <[u8; 4]>::try_from(&bytes[..4]).map_err(|_| INVAL)?.into(),
        false => <[u8; 16]>::try_from(&bytes[..]).map_err(|_| INVAL)?.into(),
    };
    Ok(Address::Net(SocketAddr::new(ip, port)))
}

/// Up to the first NUL.
pub fn path(bytes: &[u8]) -> PathBuf {
    let path = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    #[cfg(unix)]
    return PathBuf::from(std::ffi::OsStr::from_bytes(path));
    #[cfg(not(unix))]
    String::from_utf8_lossy(path).into_owned().into()
}

/// Writes an address for the guest; without a port it has the form of version 1.
pub fn write(
    memory: &mut GuestMemory<'_>,
    at: i32,
    port: Option<i32>,
    address: &Address,
) -> Result<(), Fail> {
    let (place, len) = place(memory, at)?;
    let mut bytes = [0; LONG];
    let (number, used) = match address {
        Address::Net(net) => {
            let (family, used) = match net.ip() {
                IpAddr::V4(ip) => {
                    bytes[FAMILY..FAMILY + 4].copy_from_slice(&ip.octets());
                    (INET, 4)
                }
                IpAddr::V6(ip) => {
                    bytes[FAMILY..FAMILY + 16].copy_from_slice(&ip.octets());
                    (INET6, 16)
                }
            };
            bytes[0] = family.to_le_bytes()[0];
            (net.port(), used)
        }
        Address::Unix(path) => {
            let path = path.as_os_str().as_encoded_bytes();
            // NUL-terminated.
            let room = &mut bytes[FAMILY..LONG - 1];
            let used = path.len().min(room.len());
            room[..used].copy_from_slice(&path[..used]);
            bytes[0] = UNIX.to_le_bytes()[0];
            (0, used)
        }
    };
    match len {
        LONG => put(memory, place, &bytes)?,
        _ if len >= used => put(memory, place, &bytes[FAMILY..FAMILY + used])?,
        _ => return Err(INVAL.into()),
    }
    match port {
        Some(port) => put_u32(memory, port, number.into()),
        None => Ok(()),
    }
}

/// Version 1 of the interface: sixteen bytes, the kind (4 or 6), and the port.
pub fn write_v1(
    memory: &mut GuestMemory<'_>,
    at: i32,
    kind: i32,
    port: i32,
    address: &Address,
) -> Result<(), Fail> {
    let (place, len) = place(memory, at)?;
    let Address::Net(net) = address else {
        return Err(AFNOSUPPORT.into());
    };
    if len < 16 {
        return Err(INVAL.into());
    }
    let number = match net.ip() {
        IpAddr::V4(ip) => {
            put(memory, place, &ip.octets())?;
            4
        }
        IpAddr::V6(ip) => {
            put(memory, place, &ip.octets())?;
            6
        }
    };
    put_u32(memory, kind, number)?;
    put_u32(memory, port, net.port().into())
}
