//! The memory limit: when memory runs out, the process exits with a status that says so.
//!
//! Rust's default, an abort, could not be distinguished from a crash.

use crate::{Exit, leave};
use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, except that a failed allocation ends the process.
pub struct Bounded;

fn some(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        leave(Exit::Memory)
    }
    block
}

// SAFETY: forwards every call to the system's allocator and returns its result.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `alloc`.
        some(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `alloc_zeroed`.
        some(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `dealloc`.
        some(unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `realloc`.
        unsafe { System.dealloc(block, layout) }
    }
}
