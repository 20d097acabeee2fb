//! Values in the guest's memory layout before they are copied: blobs of bytes, and the pointers to be written once the
//! guest has allocated room.
//!
//! In between the guest's allocator runs, which may take longer than a slice. So an image holds no terms of a NIF and
//! does not depend on the guest.

use crate::component::internal::InterfaceType;
use crate::component::resource::handle::Passed;
use crate::guest::host_term::HostTerm;
use crate::vm::term_box::TermBox;
use smallvec::{SmallVec, smallvec};

/// Complete values that are not in a guest yet.
pub struct Image {
    /// The first is the root, the others are lists. A blob comes before those it points to.
    pub blobs: SmallVec<[Blob; 1]>,
    arena: SmallVec<[u8; 64]>,
    /// Binaries too large to be copied twice.
    kept: Vec<TermBox>,
    /// Handles, including those of guest resources.
    pub handles: Vec<Passed>,
    /// Terms that become resources implemented in Elixir, with the ids of their types.
    pub hosted: Vec<Hosted>,
    /// Whether it takes longer than a slice to copy them.
    pub is_large: bool,
}

/// Bytes that are contiguous in the guest.
pub struct Blob {
    /// The bytes; links are filled in later.
    pub bytes: Bytes,
    /// The alignment.
    pub align: u32,
    /// Values to be filled in.
    pub links: SmallVec<[Link; 1]>,
}

/// A value written at an offset of a blob when it is placed.
pub struct Link {
    /// The offset.
    pub at: u32,
    /// The value.
    pub target: Target,
}

/// The target of a link.
pub enum Target {
    /// Pointer and length of a list.
    List { blob: u32, length: u32 },
    /// Pointer and length of bytes, or of a string in the guest's encoding.
    Bytes(Chunk),
    /// The same for numbers: their count, and the size of one, which is also their alignment.
    Numbers {
        chunk: Chunk,
        length: u32,
        size: u32,
    },
    /// The same for a string, in the guest's encoding.
    Text(Chunk),
    /// The index of a handle in the guest's table.
    Handle { index: u32, ty: InterfaceType },
    /// The index that a resource implemented in Elixir gets in the guest's table.
    Hosted { index: u32, ty: InterfaceType },
}

/// Bytes that an image holds.
pub enum Chunk {
    /// Copied bytes.
    Arena { start: u32, length: u32 },
    /// A reference to a binary.
    Kept(u32),
}

/// A term that becomes a resource.
pub struct Hosted {
    /// The term, until it is in the store's table.
    pub term: Option<HostTerm>,
    /// wasmtime's id of its type.
    pub id: u32,
    /// Whether ownership passes to the guest.
    pub owned: bool,
    /// Its index in the store's table, once it is there.
    pub rep: u32,
}

/// The bytes of a blob. Arguments up to this size need no allocation.
pub type Bytes = SmallVec<[u8; 64]>;

/// Room for the first copied bytes and those after them.
const FIRST: usize = 128;

/// Longer binaries are referenced, not copied.
const SMALL: usize = 256;

impl Image {
    /// An image whose root has this many bytes.
    pub fn new(size: usize) -> Self {
        Image {
            blobs: smallvec![Blob::new(size, 1)],
            arena: SmallVec::new(),
            kept: Vec::new(),
            handles: Vec::new(),
            hosted: Vec::new(),
            is_large: false,
        }
    }

    /// Adds a blob and returns its number.
    pub fn blob(&mut self, size: usize, align: usize) -> usize {
        self.blobs.push(Blob::new(size, align));
        self.blobs.len() - 1
    }

    /// Adds a blob of complete bytes and returns its number.
    pub fn filled(&mut self, bytes: Bytes, align: usize) -> usize {
        let (align, links) = (align as u32, SmallVec::new());
        self.blobs.push(Blob {
            bytes,
            align,
            links,
        });
        self.blobs.len() - 1
    }

    /// Adds the bytes of a binary; large ones are referenced.
    pub fn chunk(&mut self, term: rustler::Term, bytes: &[u8]) -> Chunk {
        if bytes.len() > SMALL {
            self.kept.push(TermBox::new(term));
            return Chunk::Kept(self.kept.len() as u32 - 1);
        }
        self.text(bytes)
    }

    /// Adds a copy of bytes.
    pub fn text(&mut self, bytes: &[u8]) -> Chunk {
        let start = self.arena.len() as u32;
        if self.arena.capacity() == 0 {
            self.arena.reserve(FIRST.max(bytes.len()));
        }
        self.arena.extend_from_slice(bytes);
        Chunk::Arena {
            start,
            length: bytes.len() as u32,
        }
    }

    /// The bytes of a chunk.
    pub fn bytes(&self, chunk: &Chunk) -> &[u8] {
        match chunk {
            Chunk::Arena { start, length } => &self.arena[*start as usize..][..*length as usize],
            Chunk::Kept(index) => self.kept[*index as usize].bytes(),
        }
    }

    /// Terms that are resources for the duration of the call, by index.
    pub fn lent(&self) -> Vec<u32> {
        let lent = self.hosted.iter().filter(|hosted| !hosted.owned);
        lent.map(|hosted| hosted.rep).collect()
    }

    /// Records a value to be written into a blob at this offset.
    pub fn link(&mut self, blob: usize, at: usize, target: Target) {
        self.blobs[blob].links.push(Link {
            at: at as u32,
            target,
        });
    }
}

impl Blob {
    fn new(size: usize, align: usize) -> Self {
        Blob {
            bytes: SmallVec::from_elem(0, size),
            align: align as u32,
            links: SmallVec::new(),
        }
    }
}
