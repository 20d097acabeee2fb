//! Linear memories without reservations and guard pages, for engines made for density.
//!
//! wasmtime's own would copy the whole memory on each growth. The kernel moves the pages instead (`mremap`), so growing
//! a page at a time costs no more than growing at once.

use std::sync::Arc;
use wasmtime::{LinearMemory, MemoryCreator, MemoryType, Result, bail};

/// Creates such memories.
pub struct Memories;

impl Memories {
    /// For an engine's configuration.
    pub fn creator() -> Arc<dyn MemoryCreator> {
        Arc::new(Memories)
    }
}

// SAFETY: each memory is its own mapping, zeroed, of the stated size.
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> std::result::Result<Box<dyn LinearMemory>, String> {
        if guard > 0 || reserved.is_some_and(|reserved| reserved > minimum) {
            return Err("memories of a dense engine have no reservation and no guard".into());
        }
        let memory = Pages::new(minimum).ok_or("no memory for a linear memory")?;
        Ok(Box::new(memory))
    }
}

/// A private anonymous mapping.
struct Pages {
    base: *mut u8,
    size: usize,
}

// SAFETY: plain memory; wasmtime controls access to it.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

// SAFETY: `base` is valid for `size` bytes until the memory grows or is dropped.
unsafe impl LinearMemory for Pages {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        self.size
    }

    fn grow_to(&mut self, size: usize) -> Result<()> {
        match self.resize(size) {
            true => Ok(()),
            false => bail!("no memory to grow a linear memory to {size} bytes"),
        }
    }

    fn as_ptr(&self) -> *mut u8 {
        self.base
    }
}

#[cfg(unix)]
impl Pages {
    fn new(size: usize) -> Option<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        if size == 0 {
            // Never read or written: any aligned address will do.
            let base = std::ptr::without_provenance_mut(4096);
            return Some(Pages { base, size });
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new anonymous mapping at an address chosen by the kernel.
        let base =
            unsafe { mmap_anonymous(std::ptr::null_mut(), size, protection, MapFlags::PRIVATE) };
        let base = base.ok()?.cast();
        Some(Pages { base, size })
    }

    #[cfg(target_os = "linux")]
    fn resize(&mut self, size: usize) -> bool {
        use rustix::mm::{MremapFlags, mremap};
        if self.size == 0 {
            return self.replace(size);
        }
        let flags = MremapFlags::MAYMOVE;
        // SAFETY: the range belongs to this memory; wasmtime reads its address again after a growth.
        let moved = unsafe { mremap(self.base.cast(), self.size, size, flags) };
        match moved {
            Ok(base) => {
                *self = self.moved(base.cast(), size);
                true
            }
            Err(_) => false,
        }
    }

    #[cfg(target_os = "linux")]
    fn moved(&mut self, base: *mut u8, size: usize) -> Self {
        // The old range now belongs to the new mapping and must not be unmapped.
        self.size = 0;
        Pages { base, size }
    }

    #[cfg(not(target_os = "linux"))]
    fn resize(&mut self, size: usize) -> bool {
        self.replace(size)
    }

    /// A new mapping with the contents of this one.
    fn replace(&mut self, size: usize) -> bool {
        let Some(new) = Pages::new(size) else {
            return false;
        };
        // SAFETY: two mappings of the stated sizes that do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(self.base, new.base, self.size.min(size)) };
        *self = new;
        true
    }
}

#[cfg(unix)]
impl Drop for Pages {
    fn drop(&mut self) {
        if self.size > 0 {
            // SAFETY: the memory is no longer used. On failure it merely stays mapped.
            let _ = unsafe { rustix::mm::munmap(self.base.cast(), self.size) };
        }
    }
}

#[cfg(not(unix))]
impl Pages {
    fn new(_size: usize) -> Option<Self> {
        None
    }

    fn resize(&mut self, _size: usize) -> bool {
        false
    }
}
