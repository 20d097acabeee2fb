//! The library's allocator: the system's, in front of which each thread keeps some of the blocks it has freed.
//!
//! An instance takes some twenty blocks, a call of an Elixir function two. glibc keeps blocks for each thread, too, but
//! must look at the header of each, and not those over a kilobyte, such as a store's: a block costs it 150 instructions.
//! Rust passes the size of what it frees, so this takes a third.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr::{null_mut, with_exposed_provenance_mut, write_bytes};

/// Blocks of up to `FINE` bytes have sizes in steps of 16, the others in steps of 64.
const FINE: usize = 512;

/// Larger blocks are not kept.
const LARGEST: usize = 4096;

/// The alignment of all blocks that are kept.
const ALIGN: usize = 16;

const CLASSES: usize = FINE / 16 + (LARGEST - FINE) / 64;

/// A thread keeps blocks of about this many bytes for each size.
const KEPT: usize = 4096;

/// The index of a size from 1 to [`LARGEST`].
const fn class(size: usize) -> usize {
    match size <= FINE {
        true => (size - 1) / 16,
        false => FINE / 16 + (size - FINE - 1) / 64,
    }
}

/// The largest size with this index.
const fn size(class: usize) -> usize {
    match class < FINE / 16 {
        true => (class + 1) * 16,
        false => FINE + (class + 1 - FINE / 16) * 64,
    }
}

/// The layout of all blocks with this index.
const fn block(class: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and the size far from the maximum.
    unsafe { Layout::from_size_align_unchecked(size(class), ALIGN) }
}

/// The address of a kept block, which contains that of the next; 0 for none. An address, since the pointer to be freed
/// may only be used by the owner of the old value.
type Kept = usize;

/// The kept blocks of a size.
#[derive(Clone, Copy)]
struct Class {
    first: Kept,
    /// The number that may be added.
    room: usize,
}

/// The blocks that a thread keeps.
struct Spare {
    classes: UnsafeCell<[Class; CLASSES]>,
    /// Whether they are freed at the end of the thread.
    owned: Cell<bool>,
    /// Whether the thread ends.
    ends: Cell<bool>,
}

impl Spare {
    const fn new() -> Self {
        let mut classes = [Class { first: 0, room: 0 }; CLASSES];
        let mut class = 0;
        while class < CLASSES {
            let room = KEPT / size(class);
            classes[class].room = if room < 2 { 2 } else { room };
            class += 1;
        }
        Spare {
            classes: UnsafeCell::new(classes),
            owned: Cell::new(false),
            ends: Cell::new(false),
        }
    }

    /// A block, or null.
    fn take(&self, class: usize) -> *mut u8 {
        // SAFETY: this thread's own, and nothing else uses it during this function.
        let class = unsafe { &mut (&mut *self.classes.get())[class] };
        if class.first == 0 {
            return null_mut();
        }
        let memory = with_exposed_provenance_mut::<u8>(class.first);
        // SAFETY: `give` wrote it, and nobody else has used the block since.
        class.first = unsafe { memory.cast::<Kept>().read() };
        class.room += 1;
        memory
    }

    /// Whether it keeps the block, which must have this size.
    fn give(&self, memory: *mut u8, class: usize) -> bool {
        if !self.owned.get() && !self.own() {
            return false;
        }
        // SAFETY: as in `take`.
        let class = unsafe { &mut (&mut *self.classes.get())[class] };
        if class.room == 0 {
            return false;
        }
        // SAFETY: the block is unused, aligned, and large enough.
        unsafe { memory.cast::<Kept>().write(class.first) };
        class.first = memory.expose_provenance();
        class.room -= 1;
        true
    }

    /// Makes sure that the blocks are freed at the end of the thread; false if it ends already.
    #[cold]
    fn own(&self) -> bool {
        if self.ends.get() {
            return false;
        }
        // First, since registering the end may allocate.
        self.owned.set(true);
        END.try_with(|_| ()).is_ok()
    }

    fn free(&self) {
        self.ends.set(true);
        self.owned.set(false);
        for class in 0..CLASSES {
            loop {
                let memory = self.take(class);
                if memory.is_null() {
                    break;
                }
                // SAFETY: `Allocator` made it with this layout, and nobody uses it.
                unsafe { System.dealloc(memory, block(class)) };
            }
        }
    }
}

thread_local! {
    static SPARE: Spare = const { Spare::new() };
    static END: End = const { End };
}

/// Frees the blocks of its thread.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        SPARE.with(Spare::free);
    }
}

/// Not inlined, nor is [`give`]: a fiber may move to another thread, which changes the address of a thread-local.
#[inline(never)]
fn take(class: usize) -> *mut u8 {
    SPARE.with(|spare| spare.take(class))
}

#[inline(never)]
fn give(memory: *mut u8, class: usize) -> bool {
    SPARE.with(|spare| spare.give(memory, class))
}

/// Whether blocks of this layout are kept.
fn is_kept(layout: Layout) -> bool {
    layout.size() <= LARGEST && layout.align() <= ALIGN
}

/// The library's allocator.
pub struct Allocator;

// SAFETY: a block is the system's, with its own layout or the larger one of its class, which depends only on the layout.
// While a thread keeps it, nobody else uses it.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_kept(layout) {
            // SAFETY: the caller's conditions.
            return unsafe { System.alloc(layout) };
        }
        let class = class(layout.size());
        let memory = take(class);
        if memory.is_null() {
            // SAFETY: a block is never empty.
            let memory = unsafe { System.alloc(block(class)) };
            memory.expose_provenance();
            return memory;
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if !is_kept(layout) {
            // SAFETY: the caller's conditions.
            return unsafe { System.dealloc(memory, layout) };
        }
        let class = class(layout.size());
        if !give(memory, class) {
            // SAFETY: `alloc` made it with this layout.
            unsafe { System.dealloc(memory, block(class)) };
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_kept(layout) {
            // SAFETY: the caller's conditions.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's conditions.
        let memory = unsafe { self.alloc(layout) };
        if !memory.is_null() {
            // SAFETY: a block of at least this size.
            unsafe { write_bytes(memory, 0, layout.size()) };
        }
        memory
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        // SAFETY: the caller's conditions: the new size, rounded up to the alignment, is valid.
        let wanted = unsafe { Layout::from_size_align_unchecked(new, layout.align()) };
        match (is_kept(layout), is_kept(wanted)) {
            // SAFETY: the caller's conditions.
            (false, false) => return unsafe { System.realloc(memory, layout, new) },
            (true, true) if class(layout.size()) == class(new) => return memory,
            _ => {}
        }
        // SAFETY: the caller's conditions.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: two blocks, both at least this large; the old one is not used any more.
            unsafe {
                memory.copy_to_nonoverlapping(moved, layout.size().min(new));
                self.dealloc(memory, layout);
            }
        }
        moved
    }
}
