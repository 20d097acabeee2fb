//! Strings and bytes between Elixir and this guest. Elixir allocates memory for an argument with `alloc`, and frees it with
//! `dealloc` after the call. A result is valid until the next one is returned.
#![allow(dead_code)]

use std::alloc::{Layout, alloc as allocate, dealloc as deallocate};
use std::cell::RefCell;

thread_local! {
    static RETURNED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size.max(1), 1).unwrap()
}

#[unsafe(no_mangle)]
pub extern "C" fn alloc(size: usize) -> *mut u8 {
    unsafe { allocate(layout(size)) }
}

#[unsafe(no_mangle)]
pub extern "C" fn dealloc(pointer: *mut u8, size: usize) {
    unsafe { deallocate(pointer, layout(size)) }
}

/// An argument: `{:bytes, _}`, `{:string, _}` or `{:json, _}` in Elixir.
pub fn bytes<'a>(pointer: *const u8, length: usize) -> &'a [u8] {
    unsafe { std::slice::from_raw_parts(pointer, length) }
}

/// The same as text.
pub fn string<'a>(pointer: *const u8, length: usize) -> std::borrow::Cow<'a, str> {
    String::from_utf8_lossy(bytes(pointer, length))
}

/// A result, for `returns: :bytes`, `:string` or `:json`.
pub fn returned(result: impl Into<Vec<u8>>) -> u64 {
    RETURNED.with_borrow_mut(|returned| {
        *returned = result.into();
        ((returned.as_ptr() as u64) << 32) | returned.len() as u64
    })
}
