//! `fd_readdir`.
//!
//! A guest lists a directory with many calls, each of which names the last entry it received. A directory that was listed
//! last remains open, so that the next call continues there; any other call begins again at the first entry.

use crate::vm::files;
use crate::vm::long;
use crate::wasi::calls;
use crate::wasi::errno::{Fail, NFILE, NOTDIR, code};
use crate::wasi::listing::Entries;
use crate::wasi::sockets::descriptors::Descriptor;
use crate::wasi::sockets::memory::{pointer, put, put_u32};
use crate::wasi::sockets::state::P1;
use rustix::fs::FileType;
use std::fs::File;
use std::io;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor as TheirDescriptor, WasiFilesystemView};
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1;
use wasmtime_wasi::p1::{WasiP1Ctx, types};
use wasmtime_wasi::p2::bindings::filesystem::types::HostDescriptor;
use wiggle::{GuestMemory, GuestPtr};

/// Directories that remain open.
const MOST: usize = 16;

/// Bytes that are copied on a normal scheduler.
const MEBIBYTE: u32 = 1 << 20;

/// The directories that were listed last, by wasmtime's numbers, the latest at the end.
#[derive(Default)]
pub struct Listings(Vec<(i32, Listing)>);

impl Listings {
    /// Takes one out, or forgets it when its descriptor is closed.
    pub fn take(&mut self, file: i32) -> Option<Listing> {
        let index = self.0.iter().position(|(known, _)| *known == file)?;
        Some(self.0.remove(index).1)
    }

    fn keep(&mut self, file: i32, listing: Listing) {
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push((file, listing));
    }
}

/// One of them. Entries are numbered from 1; the number of an entry is the cookie with which a guest asks for the next.
pub struct Listing {
    entries: Entries,
    next: u64,
    last: Option<Row>,
}

/// An entry as the guest receives it.
struct Row {
    number: u64,
    bytes: Vec<u8>,
}

impl Listing {
    fn open(directory: &File) -> io::Result<Self> {
        Ok(Listing {
            entries: Entries::open(directory)?,
            next: 1,
            last: None,
        })
    }

    /// The entries after the one with this number, truncated to this many bytes.
    fn read(&mut self, cookie: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match &self.last {
            Some(last) if last.number == cookie => {}
            // It was truncated.
            Some(last) if last.number == cookie.wrapping_add(1) => {
                bytes.extend_from_slice(&last.bytes);
            }
            _ => self.rewind(),
        }
        while bytes.len() < most
            && let Some(row) = self.row()?
        {
            if row.number > cookie {
                bytes.extend_from_slice(&row.bytes);
                self.last = Some(row);
            }
        }
        bytes.truncate(most);
        Ok(bytes)
    }

    fn rewind(&mut self) {
        self.entries.rewind();
        self.next = 1;
        self.last = None;
    }

    fn row(&mut self) -> io::Result<Option<Row>> {
        let number = self.next;
        let bytes = match number {
            // The parent has the number of the directory, as in wasmtime: a guest must not learn it.
            1 => dirent(1, self.entries.id, types::Filetype::Directory, b"."),
            2 => dirent(2, self.entries.id, types::Filetype::Directory, b".."),
            _ => match self.entries.next().transpose()? {
                None => return Ok(None),
                Some(entry) => dirent(number, entry.id, kind(entry.kind), &entry.name),
            },
        };
        self.next += 1;
        Ok(Some(Row { number, bytes }))
    }
}

/// `dirent` of typenames.witx, and the name.
fn dirent(number: u64, id: u64, kind: types::Filetype, name: &[u8]) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(24 + name.len());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[kind as u8, 0, 0, 0]);
    bytes.extend_from_slice(name);
    bytes
}

fn kind(kind: FileType) -> types::Filetype {
    match kind {
        FileType::Directory => types::Filetype::Directory,
        FileType::RegularFile => types::Filetype::RegularFile,
        FileType::Symlink => types::Filetype::SymbolicLink,
        FileType::CharacterDevice => types::Filetype::CharacterDevice,
        FileType::BlockDevice => types::Filetype::BlockDevice,
        _ => types::Filetype::Unknown,
    }
}

/// Lists a directory.
pub async fn fd_readdir(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    buffer: i32,
    len: i32,
    cookie: i64,
    used: i32,
) -> Result<i32> {
    let file = match p1.descriptors.get(fd) {
        Ok(Descriptor::File(file)) => *file,
        Ok(Descriptor::Socket(_)) => return Ok(NOTDIR),
        Err(fail) => return code(Err(fail)),
    };
    let known = p1.listings.take(file);
    let directory = match known {
        Some(_) => None,
        None => directory(&mut p1.ctx, memory, file).await,
    };
    if known.is_none() && directory.is_none() {
        // Anything else: wasmtime knows the error.
        return calls::fd_readdir(&mut p1.ctx, memory, file, buffer, len, cookie, used).await;
    }
    if known.is_none() && !files::left() {
        return Ok(NFILE);
    }
    let open = move || match (known, directory) {
        (Some(known), _) => Ok(known),
        (None, Some(directory)) => Listing::open(&directory),
        (None, None) => Err(io::ErrorKind::NotADirectory.into()),
    };
    code(read(p1, memory, file, open, (buffer, len), cookie, used).await)
}

async fn read(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    file: i32,
    open: impl FnOnce() -> io::Result<Listing> + Send + 'static,
    (buffer, len): (i32, i32),
    cookie: i64,
    used: i32,
) -> Result<(), Fail> {
    let (at, len) = (pointer(buffer), len.cast_unsigned());
    if let Some(last) = len.checked_sub(1) {
        let last = at
            .checked_add(last)
            .ok_or(wiggle::GuestError::PtrOverflow)?;
        memory.read(GuestPtr::<u8>::new(last))?;
    }
    let most = usize::try_from(len).unwrap_or(usize::MAX);
    let _elsewhere = match len > MEBIBYTE {
        true => long::elsewhere().await,
        false => None,
    };
    let read = tokio::task::spawn_blocking(move || {
        let mut listing = open()?;
        let bytes = listing.read(cookie.cast_unsigned(), most)?;
        io::Result::Ok((listing, bytes))
    });
    let (listing, bytes) = read.await.map_err(io::Error::other)??;
    p1.listings.keep(file, listing);
    put(memory, at, &bytes)?;
    put_u32(memory, used, u32::try_from(bytes.len()).unwrap_or(len))
}

/// The directory of a guest's descriptor. wasmtime does not expose it, so it is found among the store's resources by
/// its `fd_filestat_get`.
async fn directory(
    context: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    fd: i32,
) -> Option<Arc<File>> {
    let fd = types::Fd::from(fd.cast_unsigned());
    let wanted = WasiSnapshotPreview1::fd_filestat_get(context, memory, fd)
        .await
        .ok()?
        .ino;
    let last = u32::try_from(context.ctx().table.max_capacity()).ok()?;
    for key in 0..last {
        let entry = context.ctx().table.get_any_mut(key).ok();
        let Some(TheirDescriptor::Dir(dir)) = entry.and_then(|entry| entry.downcast_ref()) else {
            continue;
        };
        let file = dir.dir.clone();
        let borrowed = Resource::new_borrow(key);
        let hash = HostDescriptor::metadata_hash(&mut context.filesystem(), borrowed).await;
        if hash.is_ok_and(|hash| hash.lower == wanted) {
            return Some(file);
        }
    }
    None
}
