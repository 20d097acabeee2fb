//! A module without any import: an allocator for the host, and functions on
//! strings passed by pointer and length.

#![no_std]
#![no_main]

use core::arch::wasm32::{memory_grow, memory_size, unreachable};
use core::{ptr, slice};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    unreachable()
}

// --- The allocator: one address-ordered free list, neighbours merged. -------

/// Stands before every block. Sizes are in bytes, header included, and
/// multiples of its own size, so that every block is 16-aligned.
#[repr(C, align(16))]
struct Header {
    size: usize,
    next: *mut Header, // a free block: the next one
    mark: u32,         // USED in a block that was handed out
}

const HEADER: usize = size_of::<Header>();
const USED: u32 = 0x5553_4544;
const PAGE: usize = 65536;

static mut FREE: *mut Header = ptr::null_mut();
static mut LIVE: i32 = 0;

unsafe fn release(block: *mut Header) {
    unsafe {
        let mut link = &raw mut FREE;
        let mut before: *mut Header = ptr::null_mut();
        while !(*link).is_null() && *link < block {
            before = *link;
            link = &raw mut (**link).next;
        }
        (*block).next = *link;
        *link = block;
        for first in [block, before] {
            if !first.is_null() && first.byte_add((*first).size) == (*first).next {
                let second = (*first).next;
                (*first).size += (*second).size;
                (*first).next = (*second).next;
            }
        }
    }
}

unsafe fn acquire(size: usize) -> *mut Header {
    unsafe {
        let mut link = &raw mut FREE;
        while !(*link).is_null() {
            let block = *link;
            if (*block).size >= size {
                if (*block).size == size {
                    *link = (*block).next;
                } else {
                    let rest = block.byte_add(size);
                    (*rest).size = (*block).size - size;
                    (*rest).next = (*block).next;
                    (*rest).mark = 0;
                    (*block).size = size;
                    *link = rest;
                }
                return block;
            }
            link = &raw mut (*block).next;
        }
        ptr::null_mut()
    }
}

/// Returns 0 when the memory cannot grow. `malloc(0)` is a block of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(size: usize) -> *mut u8 {
    unsafe {
        if size > isize::MAX as usize {
            return ptr::null_mut();
        }
        let size = (size.max(1) + 2 * HEADER - 1) & !(HEADER - 1);
        let mut block = acquire(size);
        if block.is_null() {
            let pages = size.div_ceil(PAGE);
            let first = memory_size(0);
            if memory_grow(0, pages) == usize::MAX {
                return ptr::null_mut();
            }
            let fresh = (first * PAGE) as *mut Header;
            (*fresh).size = pages * PAGE;
            (*fresh).mark = 0;
            release(fresh);
            block = acquire(size);
        }
        (*block).mark = USED;
        LIVE += 1;
        block.add(1).cast()
    }
}

/// `free(0)` does nothing; a pointer that is not a live block traps.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(pointer: *mut u8) {
    unsafe {
        if pointer.is_null() {
            return;
        }
        let block = pointer.cast::<Header>().sub(1);
        if pointer as usize % HEADER != 0 || (*block).mark != USED {
            unreachable();
        }
        (*block).mark = 0;
        LIVE -= 1;
        release(block);
    }
}

/// The component model's allocator: traps when there is no memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_size: usize,
    align: usize,
    new_size: usize,
) -> *mut u8 {
    unsafe {
        if new_size == 0 {
            free(old);
            return align as *mut u8;
        }
        let new = malloc(new_size);
        if new.is_null() || align > HEADER {
            unreachable();
        }
        if old_size > 0 {
            ptr::copy_nonoverlapping(old, new, old_size.min(new_size));
            free(old);
        }
        new
    }
}

/// How many blocks are handed out and not yet freed.
#[unsafe(no_mangle)]
pub extern "C" fn live() -> i32 {
    unsafe { LIVE }
}

// --- Functions on strings. --------------------------------------------------

fn pack(pointer: *const u8, length: usize) -> u64 {
    (pointer as u64) << 32 | length as u64
}

unsafe fn reserve(length: usize) -> *mut u8 {
    let pointer = unsafe { malloc(length) };
    if pointer.is_null() {
        unreachable();
    }
    pointer
}

/// A new block with the ASCII letters in upper case, as `pointer << 32 | length`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upcase(pointer: *const u8, length: usize) -> u64 {
    unsafe {
        let new = reserve(length);
        ptr::copy_nonoverlapping(pointer, new, length);
        slice::from_raw_parts_mut(new, length).make_ascii_uppercase();
        pack(new, length)
    }
}

/// A new block with both strings, as `pointer << 32 | length`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn concat(
    left: *const u8,
    left_length: usize,
    right: *const u8,
    right_length: usize,
) -> u64 {
    unsafe {
        let new = reserve(left_length + right_length);
        ptr::copy_nonoverlapping(left, new, left_length);
        ptr::copy_nonoverlapping(right, new.add(left_length), right_length);
        pack(new, left_length + right_length)
    }
}

/// The sum of the bytes, modulo 2^32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sum_bytes(pointer: *const u8, length: usize) -> u32 {
    let bytes = unsafe { slice::from_raw_parts(pointer, length) };
    bytes
        .iter()
        .fold(0, |sum, &byte| sum.wrapping_add(byte.into()))
}
