//! The state machine of a wake-up: no wake is lost, and each wait is notified at most once.
//!
//! A future may be woken during a poll, between two polls, or while its process waits for the message; by several
//! threads at once; and late, after the wait it was meant for.

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

/// For one process at a time, identified by a `T`.
pub struct Wakeup<T> {
    state: AtomicU8,
    target: Mutex<Option<T>>,
}

impl<T> Wakeup<T> {
    /// No process waits.
    pub fn new() -> Self {
        Wakeup {
            state: AtomicU8::new(POLLING),
            target: Mutex::new(None),
        }
    }

    /// Called before each poll. True if the target of the last wait was notified, or is being notified.
    pub fn polling(&self) -> bool {
        // Most polls find the state unchanged, and a load is cheaper than a swap.
        self.state.load(Ordering::Acquire) != POLLING
            && self.state.swap(POLLING, Ordering::AcqRel) == SENT
    }

    /// Whether the future was woken since the poll began, so that there is nothing to wait for.
    pub fn is_woken(&self) -> bool {
        self.state.load(Ordering::Acquire) == WOKEN
    }

    /// Called after a pending poll. False if the future was woken already; then no notification follows.
    pub fn park(&self, target: T) -> bool {
        *self.target() = Some(target);
        self.state
            .compare_exchange(POLLING, PARKED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Takes the target to notify, if there is one.
    pub fn wake(&self) -> Option<T> {
        loop {
            let told = match self.state.load(Ordering::Acquire) {
                POLLING => self.advance(POLLING, WOKEN).then_some(None),
                PARKED => {
                    // Locked before the state changes, so that the next wait, possibly of another process, cannot
                    // replace the target being notified.
                    let mut target = self.target();
                    self.advance(PARKED, SENT).then(|| target.take())
                }
                // Written anyway, so that the next poll sees what this thread did before.
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
