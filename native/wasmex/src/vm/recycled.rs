//! Boxes whose memory is reused by the next one on the same thread.
//!
//! The state of a call is larger than the blocks that allocators cache per thread; allocating and freeing it would be a
//! tenth of a short call.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::ptr::{NonNull, drop_in_place};

/// Block sizes are multiples of this.
const BLOCK: usize = 128;

/// Larger blocks are not kept.
const LARGEST: usize = 32 * BLOCK;

thread_local! {
    /// The block freed last, and its layout. The VM has few schedulers and they never end, so it is never freed.
    static SPARE: Cell<Option<(NonNull<u8>, Layout)>> = const { Cell::new(None) };
}

/// The block size for a value of this layout.
fn block(layout: Layout) -> Layout {
    let size = layout.size().next_multiple_of(BLOCK).max(BLOCK);
    // Rounding up cannot overflow: a value is at most half of the address space.
    Layout::from_size_align(size, layout.align()).unwrap_or(layout)
}

/// Not inlined, nor is [`give`]: a fiber may move to another thread, which changes the address of a thread-local.
#[inline(never)]
fn take(layout: Layout) -> NonNull<u8> {
    if let Some((spare, its)) = SPARE.take() {
        if its == layout {
            return spare;
        }
        SPARE.set(Some((spare, its)));
    }
    // SAFETY: a block is never empty.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

#[inline(never)]
fn give(memory: NonNull<u8>, layout: Layout) {
    let old = match layout.size() <= LARGEST {
        true => SPARE.replace(Some((memory, layout))),
        false => Some((memory, layout)),
    };
    if let Some((memory, layout)) = old {
        // SAFETY: `take` allocated it with this layout, and it is no longer used.
        unsafe { dealloc(memory.as_ptr(), layout) };
    }
}

/// A box with recycled memory.
pub struct Recycled<T: ?Sized>(NonNull<T>);

// SAFETY: it owns the value, as `Box` does.
unsafe impl<T: ?Sized + Send> Send for Recycled<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for Recycled<T> {}

impl<T> Recycled<T> {
    /// Boxes the value that `make` makes. `unsize` is the identity, possibly converting the pointer to a trait object.
    ///
    /// Inlined, and made after the allocation, which may fail: then the compiler copies of a future only what it contains
    /// before it begins.
    #[inline(always)]
    pub fn with<U: ?Sized>(
        make: impl FnOnce() -> T,
        unsize: impl FnOnce(*mut T) -> *mut U,
    ) -> Recycled<U> {
        let memory = take(block(Layout::new::<T>())).cast::<T>();
        // SAFETY: a new block, large enough and aligned.
        unsafe { memory.write(make()) };
        let pointer = unsize(memory.as_ptr());
        debug_assert_eq!(pointer.cast::<T>(), memory.as_ptr());
        // SAFETY: the same pointer, which was not null.
        Recycled(unsafe { NonNull::new_unchecked(pointer) })
    }
}

impl<T: ?Sized> Deref for Recycled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value lives until this box is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for Recycled<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { self.0.as_mut() }
    }
}

impl<T: ?Sized> Drop for Recycled<T> {
    fn drop(&mut self) {
        /// Also if the value's destructor panics.
        struct Block(NonNull<u8>, Layout);
        impl Drop for Block {
            fn drop(&mut self) {
                give(self.0, self.1);
            }
        }
        // SAFETY: the value is alive.
        let layout = block(Layout::for_value(unsafe { self.0.as_ref() }));
        let _block = Block(self.0.cast(), layout);
        // SAFETY: the value is not used after this.
        unsafe { drop_in_place(self.0.as_ptr()) };
    }
}
