//! The functions of preview 1 on wasmtime's own descriptors: wasmtime's, with replacements where it is wrong.
//!
//! - An invalid argument (a `whence` of 9, an unknown flag) is the errno `inval`; wiggle traps
//!   (bytecodealliance/wasmtime#7116).
//! - `proc_exit` accepts every status; wasmtime rejects those from 126 on (WebAssembly/WASI#551).
//! - A path that ends with a slash names a directory; for anything else the errno is `notdir` (POSIX, path resolution).
//! - A FIFO, a socket or a block device is not opened (`notsup`): opening one may block forever, on a thread that the
//!   files of all stores need.
//! - The last quarter of the files that the VM may open is not for guests (`nfile`).
//! - A path is at most 64 KiB long (`nametoolong`). wasmtime reads all of a longer one, several times.
//! - A directory is listed some entries at a time, whatever its names are: see [`super::listing`].
//! - Reading and writing more than a mebibyte takes place on a dirty scheduler. wasmtime copies all of it.
//!
//! Definitions here shadow those imported by the glob.

// As many parameters as the interface has.
#![allow(clippy::too_many_arguments)]

use super::errno::{INVAL, NAMETOOLONG, NFILE, NOTDIR, NOTSUP};
use crate::vm::files;
use crate::vm::long;
use crate::vm::pause::pause;
use wasmtime::Result;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::{WasiP1Ctx, types, wasi_snapshot_preview1 as theirs};
use wiggle::{GuestError, GuestMemory, GuestPtr};

pub use theirs::*;

/// wasmtime's function, except that an invalid argument is an errno.
macro_rules! checked {
    ($($how:ident $name:ident($($arg:ident: $ty:ty),*))*) => {
        $(checked! { @$how $name($($arg: $ty),*) })*
    };
    (@wait $name:ident($($arg:ident: $ty:ty),*)) => {
        /// See wasi_snapshot_preview1.witx.
        pub async fn $name(context: &mut WasiP1Ctx, memory: &mut GuestMemory<'_>, $($arg: $ty),*) -> Result<i32> {
            errno(theirs::$name(context, memory, $($arg),*).await)
        }
    };
    (@call $name:ident($($arg:ident: $ty:ty),*)) => {
        /// See wasi_snapshot_preview1.witx.
        pub fn $name(context: &mut WasiP1Ctx, memory: &mut GuestMemory<'_>, $($arg: $ty),*) -> Result<i32> {
            errno(theirs::$name(context, memory, $($arg),*))
        }
    };
}

checked! {
    call clock_res_get(a: i32, b: i32)
    call clock_time_get(a: i32, b: i64, c: i32)
    wait fd_advise(a: i32, b: i64, c: i64, d: i32)
    call fd_fdstat_set_flags(a: i32, b: i32)
    call fd_fdstat_set_rights(a: i32, b: i64, c: i64)
    wait fd_filestat_set_times(a: i32, b: i64, c: i64, d: i32)
    wait fd_seek(a: i32, b: i64, c: i32, d: i32)
    wait poll_oneoff(a: i32, b: i32, c: i32, d: i32)
    call proc_raise(a: i32)
    call sock_accept(a: i32, b: i32, c: i32)
    call sock_recv(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32)
    call sock_send(a: i32, b: i32, c: i32, d: i32, e: i32)
    call sock_shutdown(a: i32, b: i32)
}

fn errno(result: Result<i32>) -> Result<i32> {
    match result {
        Err(error) if error.downcast_ref().is_some_and(wrong_value) => Ok(INVAL),
        other => other,
    }
}

/// A pointer out of bounds remains a trap, as the interface requires (witx-docs.md, pointers).
fn wrong_value(error: &GuestError) -> bool {
    match error {
        GuestError::InvalidFlagValue(_)
        | GuestError::InvalidEnumValue(_)
        | GuestError::TryFromIntError(_) => true,
        GuestError::InFunc { err, .. } => wrong_value(err),
        _ => false,
    }
}

/// Ends the program with a status.
pub fn proc_exit(_: &mut WasiP1Ctx, _: &mut GuestMemory<'_>, status: i32) -> Result<()> {
    Err(I32Exit(status).into())
}

/// Functions on paths: directory, pointer and length of each.
macro_rules! paths {
    ($($name:ident($($arg:ident: $ty:ty),*) { $(($fd:ident, $pointer:ident, $len:ident)),* })*) => {
        $(
            /// See wasi_snapshot_preview1.witx.
            pub async fn $name(context: &mut WasiP1Ctx, memory: &mut GuestMemory<'_>, $($arg: $ty),*) -> Result<i32> {
                $(if too_long($len) {
                    return Ok(NAMETOOLONG);
                })*
                $(if misses_directory(context, memory, $fd, $pointer, $len).await {
                    return Ok(NOTDIR);
                })*
                errno(theirs::$name(context, memory, $($arg),*).await)
            }
        )*
    };
}

paths! {
    path_create_directory(a: i32, b: i32, c: i32) { (a, b, c) }
    path_filestat_get(a: i32, b: i32, c: i32, d: i32, e: i32) { (a, c, d) }
    path_filestat_set_times(a: i32, b: i32, c: i32, d: i32, e: i64, f: i64, g: i32) { (a, c, d) }
    path_link(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32) { (a, c, d), (e, f, g) }
    path_readlink(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) { (a, b, c) }
    path_rename(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) { (a, b, c), (d, e, f) }
    path_unlink_file(a: i32, b: i32, c: i32) { (a, b, c) }
}

/// See wasi_snapshot_preview1.witx.
pub async fn path_symlink(
    context: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    old: i32,
    old_len: i32,
    fd: i32,
    new: i32,
    new_len: i32,
) -> Result<i32> {
    if too_long(old_len) || too_long(new_len) {
        return Ok(NAMETOOLONG);
    }
    errno(theirs::path_symlink(context, memory, old, old_len, fd, new, new_len).await)
}

/// Fills a buffer with random bytes, some at a time: wasmtime takes them one by one, and refuses many.
pub async fn random_get(
    context: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    buffer: i32,
    len: i32,
) -> Result<i32> {
    const PIECE: u32 = 64 * 1024;
    let (at, len) = (buffer.cast_unsigned(), len.cast_unsigned());
    // A buffer out of bounds is not filled at all.
    if let Some(last) = len.checked_sub(1) {
        let last = at.checked_add(last).ok_or(GuestError::PtrOverflow)?;
        memory.read(GuestPtr::<u8>::new(last))?;
    }
    for done in (0..len.max(1)).step_by(PIECE as usize) {
        if done > 0 {
            pause().await;
        }
        let place = at.wrapping_add(done).cast_signed();
        let size = PIECE.min(len - done).cast_signed();
        match theirs::random_get(context, memory, place, size)? {
            0 => {}
            errno => return Ok(errno),
        }
    }
    Ok(0)
}

/// No system has longer paths.
pub fn too_long(len: i32) -> bool {
    const LONGEST: u32 = 1 << 16;
    len.cast_unsigned() > LONGEST
}

/// Functions on a list of buffers, of which wasmtime uses the first that is not empty.
macro_rules! buffers {
    ($($name:ident($fd:ident, $list:ident, $count:ident $(, $arg:ident: $ty:ty)*))*) => {
        $(
            /// See wasi_snapshot_preview1.witx.
            pub async fn $name(
                context: &mut WasiP1Ctx,
                memory: &mut GuestMemory<'_>,
                $fd: i32,
                $list: i32,
                $count: i32,
                $($arg: $ty),*
            ) -> Result<i32> {
                let (count, len) = first_buffer(memory, $list, $count);
                let _elsewhere = match len > MEBIBYTE {
                    true => long::elsewhere().await,
                    false => None,
                };
                errno(theirs::$name(context, memory, $fd, $list, count, $($arg),*).await)
            }
        )*
    };
}

buffers! {
    fd_pread(fd, list, count, offset: i64, read: i32)
    fd_pwrite(fd, list, count, offset: i64, written: i32)
    fd_read(fd, list, count, read: i32)
    fd_write(fd, list, count, written: i32)
}

const MEBIBYTE: u32 = 1 << 20;

/// How many buffers of a list are used, which are few unless they are empty, and the length of the first that is not empty.
fn first_buffer(memory: &GuestMemory<'_>, list: i32, count: i32) -> (i32, u32) {
    const MOST: u32 = 1 << 16;
    let count = count.cast_unsigned().min(MOST);
    let mut lens = (0..count).map_while(|index| {
        let at = list.cast_unsigned().checked_add(index * 8 + 4)?;
        memory.read(GuestPtr::<u32>::new(at)).ok()
    });
    let len = lens.find(|len| *len > 0).unwrap_or(0);
    (count.cast_signed(), len)
}

/// Opens a file or a directory.
pub async fn path_open(
    context: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    lookup: i32,
    pointer: i32,
    len: i32,
    how: i32,
    rights: i64,
    inheriting: i64,
    flags: i32,
    opened: i32,
) -> Result<i32> {
    if too_long(len) {
        return Ok(NAMETOOLONG);
    }
    if misses_directory(context, memory, fd, pointer, len).await {
        return Ok(NOTDIR);
    }
    let path = GuestPtr::<str>::new((pointer.cast_unsigned(), len.cast_unsigned()));
    if may_wait(context, memory, fd, lookup, path).await {
        return Ok(NOTSUP);
    }
    if !files::left() {
        return Ok(NFILE);
    }
    let open = theirs::path_open(
        context, memory, fd, lookup, pointer, len, how, rights, inheriting, flags, opened,
    );
    errno(open.await)
}

/// Whether opening an existing file may wait, for example for the other end of a FIFO.
async fn may_wait(
    context: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    lookup: i32,
    path: GuestPtr<str>,
) -> bool {
    let Ok(lookup) = types::Lookupflags::try_from(lookup) else {
        return false;
    };
    let fd = types::Fd::from(fd.cast_unsigned());
    let stat = WasiSnapshotPreview1::path_filestat_get(context, memory, fd, lookup, path).await;
    stat.is_ok_and(|stat| {
        !matches!(
            stat.filetype,
            types::Filetype::RegularFile
                | types::Filetype::Directory
                | types::Filetype::CharacterDevice
                | types::Filetype::SymbolicLink
        )
    })
}

/// Removes a directory; wasmtime rejects a name that ends with a slash (`inval`).
pub async fn path_remove_directory(
    context: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    pointer: i32,
    len: i32,
) -> Result<i32> {
    if too_long(len) {
        return Ok(NAMETOOLONG);
    }
    if misses_directory(context, memory, fd, pointer, len).await {
        return Ok(NOTDIR);
    }
    let len = without_slashes(memory, pointer, len).unwrap_or(len.cast_unsigned());
    errno(theirs::path_remove_directory(context, memory, fd, pointer, len.cast_signed()).await)
}

/// Whether the path ends like that of a directory but names something else.
async fn misses_directory(
    context: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    pointer: i32,
    len: i32,
) -> bool {
    let Some(len) = of_directory(memory, pointer, len) else {
        return false;
    };
    let fd = types::Fd::from(fd.cast_unsigned());
    let follow = types::Lookupflags::SYMLINK_FOLLOW;
    let path = GuestPtr::<str>::new((pointer.cast_unsigned(), len));
    let stat = WasiSnapshotPreview1::path_filestat_get(context, memory, fd, follow, path).await;
    stat.is_ok_and(|stat| stat.filetype != types::Filetype::Directory)
}

/// The length of a path without what makes it the name of a directory: trailing slashes, each perhaps with a dot after
/// it (POSIX, path resolution); `None` when nothing is at its end, or nothing else is left.
fn of_directory(memory: &GuestMemory<'_>, pointer: i32, len: i32) -> Option<u32> {
    let (pointer, len) = (pointer.cast_unsigned(), len.cast_unsigned());
    let path = memory.as_cow(GuestPtr::<[u8]>::new((pointer, len))).ok()?;
    let mut name = &*path;
    while let Some(shorter) = name.strip_suffix(b"/").or_else(|| name.strip_suffix(b"/.")) {
        name = shorter;
    }
    let name = u32::try_from(name.len()).ok()?;
    (0 < name && name < len).then_some(name)
}

/// The length of a path without trailing slashes; `None` when it has none, or consists of slashes.
fn without_slashes(memory: &GuestMemory<'_>, pointer: i32, len: i32) -> Option<u32> {
    let (pointer, len) = (pointer.cast_unsigned(), len.cast_unsigned());
    let path = memory.as_cow(GuestPtr::<[u8]>::new((pointer, len))).ok()?;
    let slashes = path.iter().rev().take_while(|byte| **byte == b'/').count();
    let slashes = u32::try_from(slashes).ok()?;
    (slashes > 0 && slashes < len).then(|| len - slashes)
}
