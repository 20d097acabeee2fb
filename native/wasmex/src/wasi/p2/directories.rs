//! Directory streams of components, which read some entries ahead.

use crate::vm::files;
use crate::wasi::listing::{Entries, Entry};
use rustix::fs::FileType;
use std::collections::VecDeque;
use std::io;
use std::result::Result as StdResult;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode,
};

/// Entries that are read ahead.
const AHEAD: usize = 256;

/// The entries of one stream. wasmtime's type would hold all of them.
struct Stream {
    /// `None` at the end, or while it is being read.
    entries: Option<Entries>,
    ahead: VecDeque<StdResult<DirectoryEntry, ErrorCode>>,
}

/// The linker must allow shadowing.
pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut files = linker.instance("wasi:filesystem/types@0.2.12")?;
    files.resource(
        "directory-entry-stream",
        ResourceType::host::<DirectoryEntryStream>(),
        |mut cx, rep| {
            let table = cx.data_mut().ctx().table;
            table.delete(Resource::<Stream>::new_own(rep))?;
            Ok(())
        },
    )?;
    files.func_wrap_async("[method]descriptor.read-directory", |cx, params| {
        Box::new(open(cx, params))
    })?;
    files.func_wrap_async(
        "[method]directory-entry-stream.read-directory-entry",
        |cx, params| Box::new(next(cx, params)),
    )
}

type Answer<T> = Result<(StdResult<T, ErrorCode>,)>;

async fn open<T: WasiView>(
    mut cx: StoreContextMut<'_, T>,
    (directory,): (Resource<Descriptor>,),
) -> Answer<Resource<DirectoryEntryStream>> {
    let directory = match cx.data_mut().ctx().table.get(&directory)? {
        Descriptor::Dir(directory) => directory.dir.clone(),
        Descriptor::File(_) => return Ok((Err(ErrorCode::NotDirectory),)),
    };
    if !files::left() {
        return Ok((Err(ErrorCode::InsufficientMemory),));
    }
    let opened = tokio::task::spawn_blocking(move || Entries::open(&directory)).await?;
    let entries = match opened {
        Ok(entries) => Some(entries),
        Err(error) => return Ok((Err(error.into()),)),
    };
    let ahead = VecDeque::new();
    let stream = cx.data_mut().ctx().table.push(Stream { entries, ahead })?;
    Ok((Ok(Resource::new_own(stream.rep())),))
}

async fn next<T: WasiView>(
    mut cx: StoreContextMut<'_, T>,
    (stream,): (Resource<DirectoryEntryStream>,),
) -> Answer<Option<DirectoryEntry>> {
    let stream = Resource::<Stream>::new_borrow(stream.rep());
    let state = cx.data_mut().ctx().table.get_mut(&stream)?;
    if state.ahead.is_empty()
        && let Some(entries) = state.entries.take()
    {
        let read = tokio::task::spawn_blocking(move || read(entries)).await?;
        let state = cx.data_mut().ctx().table.get_mut(&stream)?;
        (state.entries, state.ahead) = read;
    }
    let state = cx.data_mut().ctx().table.get_mut(&stream)?;
    Ok((state.ahead.pop_front().transpose(),))
}

fn read(
    mut entries: Entries,
) -> (
    Option<Entries>,
    VecDeque<StdResult<DirectoryEntry, ErrorCode>>,
) {
    let mut ahead = VecDeque::with_capacity(AHEAD);
    while ahead.len() < AHEAD {
        match entries.next() {
            None => return (None, ahead),
            Some(entry) => ahead.push_back(told(entry)),
        }
    }
    (Some(entries), ahead)
}

fn told(entry: io::Result<Entry>) -> StdResult<DirectoryEntry, ErrorCode> {
    let entry = entry.map_err(ErrorCode::from)?;
    let name = String::from_utf8(entry.name).map_err(|_| ErrorCode::IllegalByteSequence)?;
    Ok(DirectoryEntry {
        type_: kind(entry.kind),
        name,
    })
}

fn kind(kind: FileType) -> DescriptorType {
    match kind {
        FileType::Directory => DescriptorType::Directory,
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::Unknown => DescriptorType::Unknown,
    }
}
