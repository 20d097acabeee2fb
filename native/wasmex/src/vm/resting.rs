//! Host functions that may wait for long, during which the guest's stack can be put away, see `guest/stacks.rs`.

use std::cell::Cell;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

thread_local! {
    /// Where on its stack the guest waits, if the last poll on this thread ended so.
    static PLACE: Cell<usize> = const { Cell::new(0) };
}

/// The future of a host function of a core module. wasmtime boxes it, so nothing outside refers to the guest's stack
/// while it waits: timers and sockets know only the future.
pub struct Resting<F>(F);

impl<F> Resting<F> {
    /// The future must be boxed before it is polled, and must not use the stack otherwise while it waits.
    pub fn new(future: F) -> Self {
        Resting(future)
    }
}

impl<F: Future> Future for Resting<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the field is pinned with `self`: it is never moved out, and there is no `Drop`.
        let polled = unsafe { self.map_unchecked_mut(|this| &mut this.0) }.poll(context);
        if polled.is_pending() {
            let here = 0_u8;
            note((&raw const here).addr());
        }
        polled
    }
}

/// Not inlined: a fiber may move to another thread, which changes the address of a thread-local.
#[inline(never)]
fn note(place: usize) {
    PLACE.set(place);
}

/// Where a guest rests that is polled on this thread, which is found once for a poll.
pub struct Place(*const Cell<usize>);

impl Place {
    /// Of the guest that this thread polls next.
    pub fn of_poll() -> Self {
        let place = Place(PLACE.with(ptr::from_ref));
        // Of another call, which panicked.
        place.take();
        place
    }

    /// An address on the stack of the guest if it has begun to rest.
    pub fn take(&self) -> Option<usize> {
        // SAFETY: this thread's: the type is not `Send`.
        match unsafe { &*self.0 }.replace(0) {
            0 => None,
            place => Some(place),
        }
    }
}
