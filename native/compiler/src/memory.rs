//! The memory limit: where no memory is left the process ends, with a status that says so.
//!
//! Rust's own way, an abort, could not be told from a crash.

use crate::{Exit, leave};
use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, which never comes back without memory.
pub struct Bounded;

fn some(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        leave(Exit::Memory)
    }
    block
}

// SAFETY: hands everything to the system's allocator, and returns what it returned.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised.
        some(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised.
        some(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promised.
        some(unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(block, layout) }
    }
}
