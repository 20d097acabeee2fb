//! The guest's file descriptors, each a wasmtime file or a socket of ours.
//!
//! wasmtime has a table with its own numbers, which the guest never gets. Sockets and files share one sequence, and a
//! new descriptor gets the lowest free number, as POSIX requires.

use crate::vm::files;
use crate::wasi::errno::{BADF, Fail, MFILE, NFILE, NOTSOCK};
use crate::wasi::sockets::socket::Socket;
use std::collections::HashMap;

/// The target of a descriptor.
pub enum Descriptor {
    /// A file, a directory or a standard stream, by its number in wasmtime's table.
    File(i32),
    /// A socket.
    Socket(Box<Socket>),
}

/// The descriptors of one store.
pub struct Descriptors {
    slots: Vec<Option<Descriptor>>,
    /// All lower numbers are in use.
    lowest: usize,
    sockets: usize,
    max_sockets: usize,
    /// Additionally opened files, by wasmtime's numbers, and whether each is a directory.
    opened: HashMap<i32, bool>,
    max_files: Option<u64>,
    max_directories: Option<u64>,
}

/// Standard input, output and error.
const STANDARD: usize = 3;

impl Descriptors {
    /// The standard streams and this many directories.
    pub fn new(directories: usize, max_sockets: usize) -> Self {
        let files = STANDARD + directories;
        let slots = (0..files).map(|number| i32::try_from(number).ok().map(Descriptor::File));
        Descriptors {
            slots: slots.collect(),
            lowest: files,
            sockets: 0,
            max_sockets,
            opened: HashMap::new(),
            max_files: None,
            max_directories: None,
        }
    }

    /// Maximum number of additional files and directories; `None` for wasmtime's limit.
    pub fn limit_files(&mut self, files: Option<u64>, directories: Option<u64>) {
        self.max_files = files;
        self.max_directories = directories;
    }

    /// Whether opened files must be counted.
    pub fn counts_files(&self) -> bool {
        self.max_files.is_some() || self.max_directories.is_some()
    }

    /// Whether one more file may be opened.
    pub fn room_for_file(&self, directory: bool) -> Result<(), Fail> {
        let most = match directory {
            true => self.max_directories,
            false => self.max_files,
        };
        let Some(most) = most else {
            return Ok(());
        };
        let open = self.opened.values().filter(|kind| **kind == directory);
        match (open.count() as u64) < most {
            true => Ok(()),
            false => Err(Fail::Errno(MFILE)),
        }
    }

    fn index(fd: i32) -> usize {
        // Our numbers are never negative and never this large.
        usize::try_from(fd).unwrap_or(usize::MAX)
    }

    /// The target of a number.
    pub fn get(&self, fd: i32) -> Result<&Descriptor, Fail> {
        let slot = self.slots.get(Self::index(fd));
        slot.and_then(Option::as_ref).ok_or(Fail::Errno(BADF))
    }

    /// The socket with this number.
    pub fn socket(&self, fd: i32) -> Result<&Socket, Fail> {
        match self.get(fd)? {
            Descriptor::Socket(socket) => Ok(socket),
            Descriptor::File(_) => Err(Fail::Errno(NOTSOCK)),
        }
    }

    /// The same, mutably.
    pub fn socket_mut(&mut self, fd: i32) -> Result<&mut Socket, Fail> {
        let slot = self.slots.get_mut(Self::index(fd));
        match slot.and_then(Option::as_mut) {
            Some(Descriptor::Socket(socket)) => Ok(socket),
            Some(Descriptor::File(_)) => Err(Fail::Errno(NOTSOCK)),
            None => Err(Fail::Errno(BADF)),
        }
    }

    /// Whether one more socket may be opened.
    pub fn room_for_socket(&self) -> Result<(), Fail> {
        if self.sockets >= self.max_sockets {
            return Err(Fail::Errno(MFILE));
        }
        match files::left() {
            true => Ok(()),
            false => Err(Fail::Errno(NFILE)),
        }
    }

    /// Gives a socket the lowest free number.
    pub fn add_socket(&mut self, socket: Socket) -> Result<u32, Fail> {
        self.room_for_socket()?;
        self.sockets += 1;
        self.add(Descriptor::Socket(Box::new(socket)))
    }

    /// Gives a file of wasmtime's the lowest free number.
    pub fn add_file(&mut self, inner: i32, directory: bool) -> Result<u32, Fail> {
        if self.counts_files() {
            self.opened.insert(inner, directory);
        }
        self.add(Descriptor::File(inner))
    }

    fn add(&mut self, descriptor: Descriptor) -> Result<u32, Fail> {
        let taken = self.slots.iter().skip(self.lowest);
        let number = self.lowest + taken.take_while(|slot| slot.is_some()).count();
        let fd = u32::try_from(number).map_err(|_| MFILE)?;
        match self.slots.get_mut(number) {
            Some(slot) => *slot = Some(descriptor),
            None => self.slots.push(Some(descriptor)),
        }
        self.lowest = number + 1;
        Ok(fd)
    }

    /// Frees a number.
    pub fn remove(&mut self, fd: i32) -> Option<Descriptor> {
        let index = Self::index(fd);
        let descriptor = self.slots.get_mut(index)?.take()?;
        self.lowest = self.lowest.min(index);
        match descriptor {
            Descriptor::Socket(_) => self.sockets -= 1,
            Descriptor::File(file) => {
                self.opened.remove(&file);
            }
        }
        Some(descriptor)
    }

    /// Moves `from` to the number `to`, which is in use, and returns its previous target.
    pub fn renumber(&mut self, from: i32, to: i32) -> Option<Descriptor> {
        let replaced = self.remove(to);
        let (from, to) = (Self::index(from), Self::index(to));
        let moved = self.slots.get_mut(from)?.take()?;
        self.lowest = self.lowest.min(from);
        // The number is only free temporarily.
        if let Some(slot) = self.slots.get_mut(to) {
            *slot = Some(moved);
        }
        replaced
    }
}
