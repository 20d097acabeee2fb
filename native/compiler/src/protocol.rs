//! The protocol on standard input and output: frames of a four-byte big-endian length and that many bytes.
//!
//! A request is `version, task, length of the settings (two bytes), settings, code`; for a snapshot, the state follows
//! (`state.rs`). The first frame in return is a greeting, `version, sandbox, build`. Then each request gets a reply:
//! `status`, followed by the artefact (0), an error text, or the limit that the scan found exceeded: its number (255
//! for none), value, maximum and offset, eight bytes each.

use std::io::{self, ErrorKind, Read, Write};
use wasmex_settings::BUILD;

/// Version of this protocol. Elixir rejects any other.
pub const VERSION: u8 = 2;

/// Maximum length of an error text, which may quote names from the code.
const LONGEST_TEXT: usize = 16 * 1024;

/// The kind of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Module,
    Component,
}

/// The operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Compile,
    /// Export all memories and globals, so that they can be read.
    Instrument,
    /// Produce code whose instances start from a saved state.
    Snapshot,
}

/// The code, binary or text.
#[derive(Debug)]
pub struct Request<'a> {
    pub task: Task,
    pub kind: Kind,
    pub settings: &'a [u8],
    pub code: &'a [u8],
}

impl<'a> Request<'a> {
    /// `None` when the bytes are not a valid request.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let ([version, task, high, low], rest) = bytes.split_first_chunk()?;
        let length = u16::from_be_bytes([*high, *low]).into();
        let (settings, code) = rest.split_at_checked(length)?;
        let (task, kind) = match task {
            0 => (Task::Compile, Kind::Module),
            1 => (Task::Compile, Kind::Component),
            2 => (Task::Instrument, Kind::Module),
            3 => (Task::Instrument, Kind::Component),
            4 => (Task::Snapshot, Kind::Module),
            5 => (Task::Snapshot, Kind::Component),
            _ => return None,
        };
        (*version == VERSION).then_some(Request {
            task,
            kind,
            settings,
            code,
        })
    }
}

/// The greeting: the process is ready.
pub struct Hello {
    /// Whether system calls are filtered.
    pub sandbox: bool,
}

impl Hello {
    /// Encodes the frame.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, self.sandbox.into()], BUILD.as_bytes()].concat()
    }
}

/// The outcome of a request.
#[derive(Debug)]
pub enum Reply {
    Compiled {
        artefact: Vec<u8>,
    },
    Failed {
        why: Why,
        text: String,
    },
    /// The scan rejected the code. `None` if the scan could not read it.
    Refused {
        limit: Option<u8>,
        value: u64,
        most: u64,
        offset: u64,
    },
}

/// The status of a rejection.
const REFUSED: u8 = 5;

/// The kind of error: the reply's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The code is invalid or cannot be compiled.
    Compile = 1,
    /// The text cannot be parsed.
    Parse = 2,
    /// The settings conflict, or come from another build.
    Settings = 3,
    /// Text of a component where a module is expected, or the reverse.
    Kind = 4,
    /// The code cannot be snapshotted.
    Snapshot = 6,
}

impl Reply {
    /// An error reply with a text.
    pub fn failed(why: Why, text: impl std::fmt::Display) -> Self {
        let mut text = text.to_string();
        if text.len() > LONGEST_TEXT {
            text.truncate(text.floor_char_boundary(LONGEST_TEXT));
            text.push('…');
        }
        Reply::Failed { why, text }
    }

    /// Encodes the frame.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Reply::Compiled { artefact } => [&[0], artefact.as_slice()].concat(),
            Reply::Failed { why, text } => [&[*why as u8], text.as_bytes()].concat(),
            Reply::Refused {
                limit,
                value,
                most,
                offset,
            } => {
                let head = [REFUSED, limit.unwrap_or(u8::MAX)];
                let numbers = [value, most, offset].map(|number| number.to_be_bytes());
                [head.as_slice(), &numbers.concat()].concat()
            }
        }
    }
}

/// `None` at the end of the input.
pub fn read_frame(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    input.read_exact(&mut frame)?;
    Ok(Some(frame))
}

/// Writes a frame: its length in four bytes, big-endian, then its bytes.
pub fn write_frame(output: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| ErrorKind::InvalidInput)?;
    output.write_all(&length.to_be_bytes())?;
    output.write_all(frame)
}

#[cfg(test)]
// A test may fail by a panic.
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, b"one").unwrap();
        write_frame(&mut bytes, b"").unwrap();
        let mut input = bytes.as_slice();
        assert_eq!(
            read_frame(&mut input).unwrap().as_deref(),
            Some(&b"one"[..])
        );
        assert_eq!(read_frame(&mut input).unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(read_frame(&mut input).unwrap(), None);
        assert!(read_frame(&mut &[0, 0, 0, 9, 1][..]).is_err());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let request = [VERSION, 1, 0, 2, 7, 8, 9];
        let read = Request::read(&request).unwrap();
        assert_eq!(
            (read.task, read.kind, read.settings, read.code),
            (Task::Compile, Kind::Component, &[7, 8][..], &[9][..])
        );
        for bytes in [
            &[][..],
            &[VERSION, 1],
            &[VERSION, 6, 0, 0],
            &[VERSION, 0, 0, 1],
            &[9, 0, 0, 0],
        ] {
            assert!(Request::read(bytes).is_none());
        }
    }

    #[test]
    fn texts_of_errors_have_a_bound() {
        let Reply::Failed { text, .. } = Reply::failed(Why::Compile, "é".repeat(LONGEST_TEXT))
        else {
            panic!("no failure");
        };
        assert!(text.len() <= LONGEST_TEXT + '…'.len_utf8());
    }
}
