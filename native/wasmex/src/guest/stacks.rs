//! Fiber stacks without guard pages, for engines made for density.
//!
//! A guard page splits a mapping in two, and the kernel allows a process about 65,000 mappings. wasmtime's explicit
//! stack limit catches overflows of the guest and leaves the rest of the stack to host functions. Stacks are carved
//! from large mappings and reused. See `guest/away.rs` for stacks of guests that wait for long.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use wasmtime::{Result, StackCreator, StackMemory, bail};

/// Stacks per mapping.
const PER_SLAB: usize = 64;

/// All mappings, by address, with the size of their stacks. They are never unmapped.
static SLABS: RwLock<BTreeMap<usize, usize>> = RwLock::new(BTreeMap::new());

/// The stack that contains an address.
pub fn around(address: usize) -> Option<Range<usize>> {
    let slabs = SLABS.read().unwrap_or_else(PoisonError::into_inner);
    let (slab, size) = slabs.range(..=address).next_back()?;
    let index = (address - slab) / size;
    let base = slab + index * size;
    (index < PER_SLAB).then(|| base..base + size)
}

/// Returns the memory of whole pages to the system. They are zero, or unchanged, when used again.
pub fn release(pages: Range<usize>) {
    pages::release(pages.start, pages.len());
}

/// Allocates the stacks of an engine.
pub struct Stacks {
    free: Arc<Mutex<Vec<usize>>>,
}

impl Stacks {
    /// Nothing is mapped yet.
    pub fn new() -> Self {
        Stacks {
            free: Arc::default(),
        }
    }
}

#[cfg(unix)]
mod pages {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    use std::ptr;

    #[cfg(target_os = "linux")]
    const FLAGS: MapFlags = MapFlags::PRIVATE.union(MapFlags::NORESERVE);
    #[cfg(not(target_os = "linux"))]
    const FLAGS: MapFlags = MapFlags::PRIVATE;

    // `DontNeed` is POSIX's, which does nothing on Linux.
    #[cfg(target_os = "linux")]
    const DONT_NEED: Advice = Advice::LinuxDontNeed;
    #[cfg(not(target_os = "linux"))]
    const DONT_NEED: Advice = Advice::DontNeed;

    /// Maps memory for a stack.
    pub fn map(length: usize) -> Option<usize> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new anonymous mapping at an address chosen by the kernel.
        let address = unsafe { mmap_anonymous(ptr::null_mut(), length, protection, FLAGS) };
        address.ok().map(|address| address as usize)
    }

    /// Returns the memory of a stack.
    pub fn release(address: usize, length: usize) {
        // SAFETY: the range is an unused stack of ours; its contents are no longer needed. On failure the memory stays
        // as it was, which is safe.
        let _ = unsafe { madvise(address as *mut _, length, DONT_NEED) };
    }
}

#[cfg(not(unix))]
mod pages {
    /// Not supported here.
    pub fn map(_length: usize) -> Option<usize> {
        None
    }

    /// Not supported here.
    pub fn release(_address: usize, _length: usize) {}
}

// SAFETY: the memory is mapped read-write, page-aligned, zeroed when new, and belongs to one stack until that is
// dropped.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, _zeroed: bool) -> Result<Box<dyn StackMemory>> {
        let size = size.next_multiple_of(4096);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.is_empty() {
            let Some(slab) = pages::map(size * PER_SLAB) else {
                bail!("no memory for the stack of a guest");
            };
            let mut slabs = SLABS.write().unwrap_or_else(PoisonError::into_inner);
            slabs.insert(slab, size);
            free.extend((0..PER_SLAB).map(|index| slab + index * size));
        }
        match free.pop() {
            Some(base) => Ok(Box::new(Stack {
                base,
                size,
                free: self.free.clone(),
            })),
            None => bail!("no memory for the stack of a guest"),
        }
    }
}

struct Stack {
    base: usize,
    size: usize,
    free: Arc<Mutex<Vec<usize>>>,
}

// SAFETY: see `Stacks`. There is no guard page; below the stack is the top of another one, which the guest's stack
// limit protects.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        (self.base + self.size) as *mut u8
    }

    fn range(&self) -> Range<usize> {
        self.base..self.base + self.size
    }

    fn guard_range(&self) -> Range<*mut u8> {
        self.base as *mut u8..self.base as *mut u8
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        pages::release(self.base, self.size);
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.base);
    }
}
