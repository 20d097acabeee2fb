//! Meaning of a call's parameters: arguments are read before the call, results after it.

use crate::observe::trace::Arg;
use crate::wasi::sockets::address;
use Kind::*;
use wiggle::{GuestMemory, GuestPtr};

/// Bytes kept of written and read data.
const SHOWN: usize = 32;
const LONGEST_PATH: usize = 1024;

/// The guest's memory.
pub type Memory<'a> = GuestMemory<'a>;

/// The meaning of one or more parameters.
#[derive(Clone, Copy)]
pub enum Kind {
    Number(&'static str),
    /// Pointer and length of text.
    Path(&'static str),
    /// Pointer and count of buffers to write.
    Written(&'static str),
    /// Pointer and count of buffers to read into; their content is a result.
    Read(&'static str),
    /// Pointer and length of a buffer to read into.
    Room(&'static str),
    /// Named bits, the lowest first; "" hides one.
    Flags(&'static str, &'static [&'static str]),
    Name(&'static str, &'static [&'static str]),
    /// Pointer to a number that is a result.
    Out32(&'static str),
    Out64(&'static str),
    /// Pointer to a number that is an argument.
    In32(&'static str),
    /// Pointer to an address, and its port.
    To(&'static str),
    /// Pointer to an address that is a result; the last of these parameters points to its port.
    From(&'static str, usize),
    /// The same in version 1: the address, its family, the port.
    FromV1(&'static str),
    /// A pointer that is not shown.
    Hidden,
}

impl Kind {
    /// The number of parameters it covers.
    pub fn width(self) -> usize {
        match self {
            Path(_) | Written(_) | Read(_) | Room(_) | To(_) => 2,
            From(_, width) => width,
            FromV1(_) => 3,
            _ => 1,
        }
    }
}

/// Each kind with its parameters.
pub fn each<'a>(
    kinds: &'a [Kind],
    mut params: &'a [u64],
) -> impl Iterator<Item = (Kind, &'a [u64])> + 'a {
    kinds.iter().map_while(move |kind| {
        let (mine, rest) = params.split_at_checked(kind.width())?;
        params = rest;
        Some((*kind, mine))
    })
}

/// Reads an argument.
pub fn input(kind: Kind, params: &[u64], memory: &Memory) -> Option<(&'static str, Arg)> {
    let value = params[0];
    Some(match kind {
        Number(name) => (name, Arg::Number(value)),
        Path(name) => (
            name,
            Arg::Text(bytes(value, params[1], LONGEST_PATH, memory)),
        ),
        Written(name) => {
            let (len, start) = gather(value, params[1], None, memory);
            (name, Arg::Data(len, start))
        }
        Room(name) => (name, Arg::Data(params[1], Vec::new())),
        Flags(name, names) => (name, Arg::Flags(flags(value, names))),
        Name(name, names) => {
            let known = usize::try_from(value)
                .ok()
                .and_then(|value| names.get(value));
            (
                name,
                known.map_or(Arg::Number(value), |known| Arg::Name(known)),
            )
        }
        In32(name) => (name, Arg::Number(number(value, 4, memory)?)),
        To(name) => (name, address_text(value, params[1], memory)?),
        Read(_) | Out32(_) | Out64(_) | From(..) | FromV1(_) | Hidden => return None,
    })
}

/// Reads a result.
pub fn output(
    kind: Kind,
    params: &[u64],
    memory: &Memory,
    count: Option<u64>,
) -> Option<(&'static str, Arg)> {
    match kind {
        Read(name) => {
            let (len, start) = gather(params[0], params[1], count, memory);
            Some((name, Arg::Data(len, start)))
        }
        // Limited to the bytes actually read.
        Out32("count") => None,
        Out32(name) => Some((name, Arg::Number(number(params[0], 4, memory)?))),
        Out64(name) => Some((name, Arg::Number(number(params[0], 8, memory)?))),
        From(name, width) => {
            let port = number(*params.get(width - 1)?, 4, memory)?;
            Some((name, address_text(params[0], port, memory)?))
        }
        FromV1(name) => {
            let port = number(params[2], 4, memory)?;
            let v4 = number(params[1], 4, memory)? == 4;
            let found = address::read_v1(memory, as_i32(params[0])?, v4, as_i32(port)?).ok()?;
            Some((name, Arg::Text(found.to_string().into_bytes())))
        }
        _ => None,
    }
}

/// An address in the guest's representation.
fn address_text(place: u64, port: u64, memory: &Memory) -> Option<Arg> {
    let found = address::read(memory, as_i32(place)?, as_i32(port)?).ok()?;
    Some(Arg::Text(found.to_string().into_bytes()))
}

/// A parameter as the guest passed it.
fn as_i32(param: u64) -> Option<i32> {
    u32::try_from(param).ok().map(u32::cast_signed)
}

fn flags(value: u64, names: &[&'static str]) -> Vec<&'static str> {
    names
        .iter()
        .enumerate()
        .filter(|(bit, name)| value >> bit & 1 == 1 && !name.is_empty())
        .map(|(_, name)| *name)
        .collect()
}

/// Bytes of guest memory; none if they are out of bounds, which the call itself reports.
fn bytes(pointer: u64, len: u64, most: usize, memory: &Memory) -> Vec<u8> {
    let (Ok(pointer), Ok(len)) = (u32::try_from(pointer), u32::try_from(len)) else {
        return Vec::new();
    };
    let len = len.min(u32::try_from(most).unwrap_or(u32::MAX));
    memory
        .as_cow(GuestPtr::<[u8]>::new((pointer, len)))
        .map(|bytes| bytes.into_owned())
        .unwrap_or_default()
}

/// A number of this many bytes in the guest's memory.
pub fn number(pointer: u64, size: u64, memory: &Memory) -> Option<u64> {
    let bytes = bytes(pointer, size, 8, memory);
    (bytes.len() as u64 == size).then(|| {
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    })
}

/// The total length of a list of buffers, up to `limit` buffers, and their first bytes.
fn gather(list: u64, count: u64, limit: Option<u64>, memory: &Memory) -> (u64, Vec<u8>) {
    let (mut total, mut start) = (0_u64, Vec::new());
    // A guest may pass millions of buffers; the first thousand are enough.
    for index in 0..count.min(1024) {
        let place = list + 8 * index;
        let (Some(pointer), Some(len)) = (number(place, 4, memory), number(place + 4, 4, memory))
        else {
            break;
        };
        let len = len.min(limit.unwrap_or(u64::MAX) - total);
        if start.len() < SHOWN {
            start.extend(bytes(pointer, len, SHOWN - start.len(), memory));
        }
        total += len;
    }
    (total, start)
}
