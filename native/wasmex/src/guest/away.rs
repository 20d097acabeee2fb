//! Moves the stacks of guests that wait for long to the heap.
//!
//! A guest that waits uses about a kilobyte of its stack, but the calls before have touched several pages. Where a
//! suspended stack ends is known only to wasmtime's fibers, so [`works`] tries it once with a fiber of its own; if the
//! layout is not as expected, or if a test says so, stacks remain where they are.

use crate::guest::stacks::{self, Stacks};
use crate::vm::resting::{Place, Resting};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use wasmtime::{Config, Engine, Func, Result, Store};

/// A fiber keeps its stack pointer here, below the top of its stack. (`x86_64.rs` and `aarch64.rs` of
/// wasmtime-internal-fiber)
const POINTER: usize = 16;

/// Also kept, below the stack pointer: more than the red zone of any system.
const SPARE: usize = 256;

/// The distance of the waiting host function from the stack pointer is at most this.
const NEAR: usize = 16 * 1024;

/// Longer stacks are not moved; only the pages below them are released.
const MOST: usize = 8 * 1024;

const PAGE: usize = 4096;

/// The used part of a stack.
pub struct Away {
    bottom: usize,
    bytes: Box<[u8]>,
}

impl Away {
    /// Moves it back.
    pub fn restore(self) {
        // SAFETY: these bytes came from this address, the end of a suspended stack.
        unsafe {
            let bottom = std::ptr::with_exposed_provenance_mut::<u8>(self.bottom);
            self.bytes
                .as_ptr()
                .copy_to_nonoverlapping(bottom, self.bytes.len());
        }
    }
}

static USED: AtomicBool = AtomicBool::new(true);

/// Moves the stack away that contains this address, or as much as is worth it.
///
/// # Safety
/// It must be the stack of a suspended guest that rests, see `vm/resting.rs`. It must not be used until it is restored.
pub unsafe fn move_away(place: usize) -> Option<Away> {
    match USED.load(Ordering::Relaxed) && works() {
        // SAFETY: the caller's condition.
        true => unsafe { move_checked(place) },
        false => None,
    }
}

/// # Safety
/// As [`move_away`].
unsafe fn move_checked(place: usize) -> Option<Away> {
    let stack = stacks::around(place)?;
    let pointer = std::ptr::with_exposed_provenance::<usize>(stack.end - POINTER);
    // SAFETY: an aligned address in a stack, which is mapped.
    let pointer = unsafe { pointer.read() };
    if !stack.contains(&pointer) || !pointer.is_multiple_of(8) || pointer.abs_diff(place) > NEAR {
        return None;
    }
    let bottom = pointer
        .checked_sub(SPARE)
        .filter(|bottom| stack.contains(bottom))?;
    let used = stack.end - bottom;
    if used > MOST {
        stacks::release(stack.start..bottom & !(PAGE - 1));
        return None;
    }
    // SAFETY: the top of a stack, which is mapped and not in use.
    let bytes = unsafe {
        let bottom = std::ptr::with_exposed_provenance::<u8>(bottom);
        std::slice::from_raw_parts(bottom, used).into()
    };
    stacks::release(stack);
    Some(Away { bottom, bytes })
}

/// Whether the layout is as expected; tried once.
fn works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    // AddressSanitizer forbids reading the frames of a stack as a whole.
    let known = cfg!(all(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        not(asan)
    ));
    *WORKS.get_or_init(|| known && attempt().unwrap_or(false))
}

/// Moves the stack of a host function that waits away and back.
fn attempt() -> Result<bool> {
    let mut config = Config::new();
    config.with_host_stack(Arc::new(Stacks::new()));
    let mut store = Store::new(&Engine::new(&config)?, ());
    let func = Func::wrap_async(&mut store, |_, (before,): (i32,)| {
        Box::new(Resting::new(async move {
            pause().await;
            before + 1
        }))
    });
    let func = func.typed::<(i32,), i32>(&store)?;
    let mut call = Box::pin(func.call_async(&mut store, (41,)));
    let mut context = Context::from_waker(Waker::noop());
    let place = Place::of_poll();
    if call.as_mut().poll(&mut context).is_ready() {
        return Ok(false);
    }
    // SAFETY: the guest rests, and its stack is restored before the next poll.
    let Some(away) = place
        .take()
        .and_then(|place| unsafe { move_checked(place) })
    else {
        return Ok(false);
    };
    away.restore();
    Ok(matches!(
        call.as_mut().poll(&mut context),
        Poll::Ready(Ok(42))
    ))
}

async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut paused, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await
}

/// Sets whether stacks are moved from now on, if the layout is as expected; for testing both ways.
#[rustler::nif]
fn stacks_move(wanted: bool) -> bool {
    USED.store(wanted, Ordering::Relaxed);
    wanted && works()
}
