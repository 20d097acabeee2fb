//! Whose turn it is: the processes that wait for a store, first come first served.

use crate::guest::cell::StoreCell;
use crate::guest::waits;
use crate::vm::term_box::TermBox;
use crate::vm::waker::{self, Tag};
use rustler::{Env, LocalPid, Monitor, ResourceArc};
use std::collections::VecDeque;

/// A process that waits.
pub struct Waiter {
    /// The process.
    pub pid: LocalPid,
    /// What it is told with.
    pub reference: TermBox,
    /// Tells when it dies.
    pub monitor: Monitor,
}

/// Those who wait for one store.
#[derive(Default)]
pub struct Turns {
    waiting: VecDeque<Waiter>,
    /// Whose turn it is while the store is idle.
    granted: Option<Waiter>,
}

impl Turns {
    /// One more waits.
    pub fn push(&mut self, waiter: Waiter) {
        self.waiting.push_back(waiter);
    }

    /// Whether nobody waits; who was told already does not.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the turn was given to another process.
    pub fn is_anothers(&self, me: LocalPid) -> bool {
        self.granted.as_ref().is_some_and(|waiter| waiter.pid != me)
    }

    /// The turn is used.
    pub fn take(&mut self) -> Option<Waiter> {
        self.granted.take()
    }

    /// Tells the first one that it is its turn, unless it is somebody's already.
    pub fn next(&mut self) {
        if self.granted.is_none()
            && let Some(waiter) = self.waiting.pop_front()
        {
            waker::notify(waiter.pid, Tag::Turn, TermBox::copy(&waiter.reference));
            self.granted = Some(waiter);
        }
    }

    /// The store is closed or broken: all are woken and will get that error.
    pub fn dismiss(&mut self) {
        for waiter in self.waiting.drain(..) {
            waker::notify(waiter.pid, Tag::Turn, waiter.reference);
        }
    }

    /// This process waits no longer; a turn that came meanwhile goes to the next one.
    pub fn quit(&mut self, pid: LocalPid) -> Option<Waiter> {
        let position = self.waiting.iter().position(|waiter| waiter.pid == pid);
        let waiter = position.and_then(|position| self.waiting.remove(position));
        if self
            .granted
            .as_ref()
            .is_some_and(|waiter| waiter.pid == pid)
        {
            let granted = self.granted.take();
            self.next();
            return granted;
        }
        waiter
    }
}

impl Waiter {
    /// The wait is over. Not under the store's lock: other locks are taken here.
    pub fn done(self, cell: &ResourceArc<StoreCell>, env: Env) {
        env.demonitor(cell, &self.monitor);
        waits::forget(self.pid);
    }
}
