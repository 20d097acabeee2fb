//! Lists directories with names that are not UTF-8. wasmtime's listing stops at the first such name. Here every name is
//! its bytes, as on other systems; opening one is `ilseq`, since paths are UTF-8 (WASI preview 1).

use rustix::fs::{Dir, FileType};
use std::fs::File;
use std::io;
use std::sync::Arc;
use wasmtime::component::Resource;
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1;
use wasmtime_wasi::p1::{WasiP1Ctx, types};
use wasmtime_wasi::p2::bindings::filesystem::types::HostDescriptor;
use wiggle::GuestMemory;

/// The directory of a guest's descriptor. wasmtime does not expose it, so it is found among the store's resources by
/// its `fd_filestat_get`.
pub async fn directory(
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
        let Some(Descriptor::Dir(dir)) = entry.and_then(|entry| entry.downcast_ref()) else {
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

/// The entries from a cookie on, as `fd_readdir` writes them, truncated to this many bytes.
pub async fn read(directory: Arc<File>, cookie: u64, most: usize) -> io::Result<Vec<u8>> {
    tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        // The guest numbers entries from 1; a cookie is the number of the last one received.
        for (entry, number) in Dir::read_from(&*directory)?.zip(1..) {
            let entry = entry?;
            if number > cookie {
                let name = entry.file_name().to_bytes();
                let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
                bytes.extend_from_slice(&u64::to_le_bytes(number));
                bytes.extend_from_slice(&entry.ino().to_le_bytes());
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(&[file_type(entry.file_type()) as u8, 0, 0, 0]);
                bytes.extend_from_slice(name);
            }
            if bytes.len() >= most {
                break;
            }
        }
        bytes.truncate(most);
        Ok(bytes)
    })
    .await?
}

fn file_type(ty: FileType) -> types::Filetype {
    match ty {
        FileType::Directory => types::Filetype::Directory,
        FileType::RegularFile => types::Filetype::RegularFile,
        FileType::Symlink => types::Filetype::SymbolicLink,
        FileType::CharacterDevice => types::Filetype::CharacterDevice,
        FileType::BlockDevice => types::Filetype::BlockDevice,
        _ => types::Filetype::Unknown,
    }
}
