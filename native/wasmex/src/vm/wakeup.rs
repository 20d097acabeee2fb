//! The state of a wake-up, apart from how it is told: no wake is lost, and each wait is told at most once.
//!
//! A future may be woken while it is polled, between two polls, or while its process waits for the message;
//! by several threads at once, and late, when the wait it was meant for is over.

#[cfg(loom)]
use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU8, Ordering},
};
use std::sync::PoisonError;
#[cfg(not(loom))]
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU8, Ordering},
};

const POLLING: u8 = 0;
const WOKEN: u8 = 1;
const PARKED: u8 = 2;
const SENT: u8 = 3;

/// For one process at a time; `T` identifies it.
pub struct Wakeup<T> {
    state: AtomicU8,
    target: Mutex<Option<T>>,
}

impl<T> Wakeup<T> {
    /// Nobody waits.
    pub fn new() -> Self {
        Wakeup {
            state: AtomicU8::new(POLLING),
            target: Mutex::new(None),
        }
    }

    /// Called before each poll. True when the target of the last wait was told, or is being told.
    pub fn polling(&self) -> bool {
        // Most polls find it as the last one left it, and a read is cheaper than a swap.
        self.state.load(Ordering::Acquire) != POLLING
            && self.state.swap(POLLING, Ordering::AcqRel) == SENT
    }

    /// Whether the future was woken since the poll began: then there is nothing to wait for.
    pub fn is_woken(&self) -> bool {
        self.state.load(Ordering::Acquire) == WOKEN
    }

    /// After a poll that is pending. False when the future was woken already: then nobody will be told.
    pub fn park(&self, target: T) -> bool {
        *self.target() = Some(target);
        self.state
            .compare_exchange(POLLING, PARKED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Whom to tell, if somebody waits.
    pub fn wake(&self) -> Option<T> {
        loop {
            let told = match self.state.load(Ordering::Acquire) {
                POLLING => self.advance(POLLING, WOKEN).then_some(None),
                PARKED => {
                    // Locked before it shows: the next wait, which may be somebody else's, can't put its target
                    // in the place of the one that is told.
                    let mut target = self.target();
                    self.advance(PARKED, SENT).then(|| target.take())
                }
                // Written all the same, so that what this thread did before is seen by the next poll.
                state => self.advance(state, state).then_some(None),
            };
            if let Some(told) = told {
                return told;
            }
        }
    }

    fn advance(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    fn target(&self) -> MutexGuard<'_, Option<T>> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
