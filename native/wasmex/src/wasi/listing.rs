//! Lists directories, some entries at a time.
//!
//! wasmtime reads all of a directory, with the metadata of each entry, when a component begins to list it, and for each
//! call of `fd_readdir`; and it stops at a name that is not UTF-8.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;

/// A directory that is being listed. It takes a file of the system and some kilobytes, however many entries there are.
pub struct Entries {
    dir: Dir,
    device: u64,
    /// Identifies the directory as [`Entry::id`] does.
    pub id: u64,
}

/// An entry. A name may be any bytes.
pub struct Entry {
    pub name: Vec<u8>,
    pub kind: FileType,
    /// Identifies the file as WASI does.
    pub id: u64,
}

impl Entries {
    /// From the first entry on.
    pub fn open(directory: &File) -> io::Result<Self> {
        let metadata = directory.metadata()?;
        let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Entries {
            dir: Dir::new(openat(directory, c".", how, Mode::empty())?)?,
            device: metadata.dev(),
            id: id(metadata.dev(), metadata.ino()),
        })
    }

    /// Back to the first entry.
    pub fn rewind(&mut self) {
        self.dir.rewind();
    }

    /// The next entry that is neither the directory itself nor its parent. After an error there is none.
    pub fn next(&mut self) -> Option<io::Result<Entry>> {
        loop {
            let entry = match self.dir.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            let name = entry.file_name();
            if name != c"." && name != c".." {
                let kind = match entry.file_type() {
                    FileType::Unknown => self.kind(name),
                    known => known,
                };
                return Some(Ok(Entry {
                    kind,
                    id: id(self.device, entry.ino()),
                    name: name.to_bytes().to_vec(),
                }));
            }
        }
    }

    /// Some file systems do not tell it in the list.
    fn kind(&self, name: &std::ffi::CStr) -> FileType {
        let stat = self.dir.fd();
        let stat = stat.and_then(|fd| statat(fd, name, AtFlags::SYMLINK_NOFOLLOW));
        stat.map_or(FileType::Unknown, |stat| {
            FileType::from_raw_mode(stat.st_mode)
        })
    }
}

/// The number by which guests recognize a file: wasmtime's (`MetadataHashValue` in its `filesystem.rs`), which it would
/// compute from the metadata of each entry.
fn id(device: u64, inode: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (device, inode).hash(&mut hasher);
    hasher.finish()
}
