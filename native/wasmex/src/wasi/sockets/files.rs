//! File functions on the guest's descriptors: calls on files go to wasmtime, those on sockets are handled here.
//!
//! Unsupported operations on sockets return the POSIX errno: they cannot seek (`spipe`), are not directories
//! (`notdir`), and cannot be synced to disk (`inval`).

// As many parameters as the interface has.
#![allow(clippy::too_many_arguments)]

use crate::wasi::calls;
use crate::wasi::errno::{BADF, Fail, INVAL, NODEV, NOTDIR, SPIPE, code};
use crate::wasi::sockets::descriptors::Descriptor;
use crate::wasi::sockets::memory::{bytes, pointer, put, put_u32, read_u32};
use crate::wasi::sockets::state::P1;
use crate::wasi::sockets::urls::{self, Url};
use wasmtime::Result;
use wasmtime_wasi::p1::types;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1;
use wiggle::GuestMemory;

/// Functions whose first parameter is a descriptor, and the errno of sockets.
macro_rules! files {
    ($($how:ident $name:ident($($arg:ident: $ty:ty),*) $errno:expr;)*) => {
        $(
            /// See wasi_snapshot_preview1.witx.
            pub async fn $name(p1: &mut P1, memory: &mut GuestMemory<'_>, fd: i32, $($arg: $ty),*) -> Result<i32> {
                match p1.descriptors.get(fd) {
                    Ok(Descriptor::File(file)) => {
                        let file = *file;
                        files!(@$how calls::$name(&mut p1.ctx, memory, file, $($arg),*))
                    }
                    Ok(Descriptor::Socket(_)) => Ok($errno),
                    Err(fail) => code(Err(fail)),
                }
            }
        )*
    };
    (@wait $call:expr) => { $call.await };
    (@call $call:expr) => { $call };
}

#[cfg(not(unix))]
files! {
    wait fd_readdir(b: i32, c: i32, d: i64, e: i32) NOTDIR;
}

files! {
    wait fd_advise(b: i64, c: i64, d: i32) SPIPE;
    call fd_allocate(b: i64, c: i64) NODEV;
    wait fd_datasync() INVAL;
    call fd_fdstat_set_rights(b: i64, c: i64) 0;
    wait fd_filestat_set_size(b: i64) INVAL;
    wait fd_filestat_set_times(b: i64, c: i64, d: i32) INVAL;
    wait fd_pread(b: i32, c: i32, d: i64, e: i32) SPIPE;
    call fd_prestat_dir_name(b: i32, c: i32) BADF;
    call fd_prestat_get(b: i32) BADF;
    wait fd_pwrite(b: i32, c: i32, d: i64, e: i32) SPIPE;
    wait fd_seek(b: i64, c: i32, d: i32) SPIPE;
    wait fd_sync() INVAL;
    call fd_tell(b: i32) SPIPE;
    wait path_create_directory(b: i32, c: i32) NOTDIR;
    wait path_filestat_get(b: i32, c: i32, d: i32, e: i32) NOTDIR;
    wait path_filestat_set_times(b: i32, c: i32, d: i32, e: i64, f: i64, g: i32) NOTDIR;
    wait path_readlink(b: i32, c: i32, d: i32, e: i32, f: i32) NOTDIR;
    wait path_remove_directory(b: i32, c: i32) NOTDIR;
    wait path_unlink_file(b: i32, c: i32) NOTDIR;
}

/// The number of a directory in wasmtime's table.
fn directory(p1: &P1, fd: i32) -> Result<i32, Fail> {
    match p1.descriptors.get(fd)? {
        Descriptor::File(file) => Ok(*file),
        Descriptor::Socket(_) => Err(Fail::Errno(NOTDIR)),
    }
}

/// Both directories of a function that takes two.
fn directories(p1: &P1, one: i32, other: i32) -> Result<(i32, i32), Fail> {
    Ok((directory(p1, one)?, directory(p1, other)?))
}

/// See wasi_snapshot_preview1.witx.
pub async fn path_link(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    flags: i32,
    old: i32,
    old_len: i32,
    new_fd: i32,
    new: i32,
    new_len: i32,
) -> Result<i32> {
    match directories(p1, fd, new_fd) {
        Ok((fd, new_fd)) => {
            let ctx = &mut p1.ctx;
            calls::path_link(ctx, memory, fd, flags, old, old_len, new_fd, new, new_len).await
        }
        Err(fail) => code(Err(fail)),
    }
}

/// See wasi_snapshot_preview1.witx.
pub async fn path_rename(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    old: i32,
    old_len: i32,
    new_fd: i32,
    new: i32,
    new_len: i32,
) -> Result<i32> {
    match directories(p1, fd, new_fd) {
        Ok((fd, new_fd)) => {
            let ctx = &mut p1.ctx;
            calls::path_rename(ctx, memory, fd, old, old_len, new_fd, new, new_len).await
        }
        Err(fail) => code(Err(fail)),
    }
}

/// See wasi_snapshot_preview1.witx.
pub async fn path_symlink(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    old: i32,
    old_len: i32,
    fd: i32,
    new: i32,
    new_len: i32,
) -> Result<i32> {
    match directory(p1, fd) {
        Ok(fd) => calls::path_symlink(&mut p1.ctx, memory, old, old_len, fd, new, new_len).await,
        Err(fail) => code(Err(fail)),
    }
}

/// Opens a file and gives its number in wasmtime's table a number of the guest's.
pub async fn path_open(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    lookup: i32,
    path: i32,
    len: i32,
    how: i32,
    rights: i64,
    inheriting: i64,
    flags: i32,
    opened: i32,
) -> Result<i32> {
    if p1.net.by_path
        && let Some(url) = url(memory, path, len)
    {
        return code(open_url(p1, memory, url, flags, opened).await);
    }
    let is_directory = how & DIRECTORY != 0;
    // An existing entry may be either; a created one is a file.
    let room = match how & (DIRECTORY | CREATE) {
        0 => Ok(()),
        _ => p1.descriptors.room_for_file(is_directory),
    };
    let fd = match (directory(p1, fd), room) {
        (Ok(fd), Ok(())) => fd,
        (Err(fail), _) | (_, Err(fail)) => return code(Err(fail)),
    };
    let ctx = &mut p1.ctx;
    let errno = calls::path_open(
        ctx, memory, fd, lookup, path, len, how, rights, inheriting, flags, opened,
    )
    .await?;
    if errno != 0 {
        return Ok(errno);
    }
    code(number(p1, memory, opened, is_directory).await)
}

/// Whether to create a file, and whether to open a directory (`oflags`).
const CREATE: i32 = 1;
const DIRECTORY: i32 = 2;

fn url(memory: &GuestMemory<'_>, path: i32, len: i32) -> Option<Url> {
    if calls::too_long(len) {
        return None;
    }
    let path = bytes(memory, pointer(path), pointer(len)).ok()?;
    urls::parse(&path)
}

async fn open_url(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    url: Url,
    flags: i32,
    opened: i32,
) -> Result<(), Fail> {
    let flags = u16::try_from(flags).map_err(|_| INVAL)?;
    let fd = urls::open(p1, url, flags).await?;
    put_u32(memory, opened, fd)
}

/// Gives a file opened by wasmtime a number of the guest's.
async fn number(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    opened: i32,
    mut is_directory: bool,
) -> Result<(), Fail> {
    let inner = read_u32(memory, pointer(opened))?.cast_signed();
    if p1.descriptors.counts_files() {
        // A directory may be opened without requesting one.
        let file = types::Fd::from(inner.cast_unsigned());
        let stat = WasiSnapshotPreview1::fd_fdstat_get(&mut p1.ctx, memory, file).await;
        is_directory = stat.is_ok_and(|stat| stat.fs_filetype == types::Filetype::Directory);
        if let Err(fail) = p1.descriptors.room_for_file(is_directory) {
            let closed = calls::fd_close(&mut p1.ctx, memory, inner).await;
            closed.map_err(Fail::Trap)?;
            return Err(fail);
        }
    }
    let fd = p1.descriptors.add_file(inner, is_directory)?;
    put_u32(memory, opened, fd)
}

/// Closes a file or a socket.
pub async fn fd_close(p1: &mut P1, memory: &mut GuestMemory<'_>, fd: i32) -> Result<i32> {
    match p1.descriptors.remove(fd) {
        Some(Descriptor::File(file)) => close(p1, memory, file).await,
        Some(Descriptor::Socket(_)) => Ok(0),
        None => Ok(BADF),
    }
}

/// Moves a descriptor to the number of another, which is closed. Both must be open.
pub async fn fd_renumber(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    from: i32,
    to: i32,
) -> Result<i32> {
    let open = [from, to].map(|fd| p1.descriptors.get(fd).map(|_| ()));
    if open.iter().any(Result::is_err) {
        return Ok(BADF);
    }
    if from == to {
        return Ok(0);
    }
    match p1.descriptors.renumber(from, to) {
        Some(Descriptor::File(file)) => close(p1, memory, file).await,
        _ => Ok(0),
    }
}

async fn close(p1: &mut P1, memory: &mut GuestMemory<'_>, file: i32) -> Result<i32> {
    #[cfg(unix)]
    p1.listings.take(file);
    calls::fd_close(&mut p1.ctx, memory, file).await
}

/// Kinds of files (`filetype`).
const DATAGRAMS: u8 = 5;
const STREAM: u8 = 6;

/// Type and flags of a descriptor.
pub async fn fd_fdstat_get(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    stat: i32,
) -> Result<i32> {
    let socket = match p1.descriptors.get(fd) {
        Ok(Descriptor::File(file)) => {
            let file = *file;
            let errno = calls::fd_fdstat_get(&mut p1.ctx, memory, file, stat).await?;
            let standard = usize::try_from(file)
                .ok()
                .and_then(|file| p1.standard.get(file));
            return match standard {
                Some(flags) if errno == 0 => code(put(
                    memory,
                    pointer(stat).wrapping_add(2),
                    &flags.to_le_bytes(),
                )),
                _ => Ok(errno),
            };
        }
        Ok(Descriptor::Socket(socket)) => socket,
        Err(fail) => return code(Err(fail)),
    };
    // All rights: socket permissions are checked when it is used.
    let mut bytes = [0xff; 24];
    bytes[..8].fill(0);
    bytes[0] = if socket.datagrams { DATAGRAMS } else { STREAM };
    bytes[2..4].copy_from_slice(&socket.flags.to_le_bytes());
    code(put(memory, pointer(stat), &bytes))
}

/// Possible flags of a descriptor (`fdflags`): append, dsync, nonblock, rsync, sync.
const FLAGS: i32 = 0b1_1111;

/// Whether calls block.
pub async fn fd_fdstat_set_flags(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    flags: i32,
) -> Result<i32> {
    if let Ok(Descriptor::File(file)) = p1.descriptors.get(fd) {
        let file = *file;
        let index = usize::try_from(file).unwrap_or(usize::MAX);
        let Some(standard) = p1.standard.get_mut(index) else {
            return calls::fd_fdstat_set_flags(&mut p1.ctx, memory, file, flags);
        };
        return code(known(flags).map(|flags| *standard = flags));
    }
    let mut set = || {
        let socket = p1.descriptors.socket_mut(fd)?;
        socket.flags = known(flags)?;
        Ok(())
    };
    code(set())
}

fn known(flags: i32) -> Result<u16, Fail> {
    let known = u16::try_from(flags).ok().filter(|_| flags & !FLAGS == 0);
    known.ok_or(Fail::Errno(INVAL))
}

/// A socket has only its type.
pub async fn fd_filestat_get(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    stat: i32,
) -> Result<i32> {
    let socket = match p1.descriptors.get(fd) {
        Ok(Descriptor::File(file)) => {
            let file = *file;
            return calls::fd_filestat_get(&mut p1.ctx, memory, file, stat).await;
        }
        Ok(Descriptor::Socket(socket)) => socket,
        Err(fail) => return code(Err(fail)),
    };
    let mut bytes = [0; 64];
    bytes[16] = if socket.datagrams { DATAGRAMS } else { STREAM };
    code(put(memory, pointer(stat), &bytes))
}
