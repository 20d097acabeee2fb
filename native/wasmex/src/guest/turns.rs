//! The queue of processes that wait for a store, first come first served.

use crate::guest::cell::StoreCell;
use crate::guest::waits;
use crate::vm::janitor;
use crate::vm::resource::ResourceArc;
use crate::vm::term_box::TermBox;
use crate::vm::waker::{self, Tag};
use rustler::{Env, LocalPid, Monitor};
use std::collections::BTreeMap;

/// To free this many entries takes some time.
const MANY: usize = 10_000;

/// A waiting process.
pub struct Waiter {
    /// The process.
    pub pid: LocalPid,
    /// Sends its message.
    pub reference: TermBox,
    /// Monitors it.
    pub monitor: Monitor,
}

/// The processes waiting for one store.
#[derive(Default)]
pub struct Turns {
    /// In the order of their numbers.
    waiting: BTreeMap<u64, Waiter>,
    /// The number of each waiting process.
    numbers: BTreeMap<LocalPid, u64>,
    last: u64,
    /// The process whose turn it is while the store is idle.
    granted: Option<Waiter>,
}

impl Turns {
    /// Adds a process at the end. Returns its earlier place if it asks again without having left the queue.
    pub fn push(&mut self, waiter: Waiter) -> Option<Waiter> {
        self.last += 1;
        let earlier = self.numbers.insert(waiter.pid, self.last);
        let earlier = earlier.and_then(|number| self.waiting.remove(&number));
        self.waiting.insert(self.last, waiter);
        earlier
    }

    fn pop(&mut self) -> Option<Waiter> {
        let (_, waiter) = self.waiting.pop_first()?;
        self.numbers.remove(&waiter.pid);
        Some(waiter)
    }

    /// Whether no process waits; one already notified does not.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the turn belongs to another process.
    pub fn is_anothers(&self, me: LocalPid) -> bool {
        self.granted.as_ref().is_some_and(|waiter| waiter.pid != me)
    }

    /// The turn has been used.
    pub fn take(&mut self) -> Option<Waiter> {
        self.granted.take()
    }

    /// Notifies the first process, unless it is another one's turn already.
    pub fn next(&mut self) {
        if self.granted.is_none()
            && let Some(waiter) = self.pop()
        {
            waker::notify(waiter.pid, Tag::Turn, TermBox::copy(&waiter.reference));
            self.granted = Some(waiter);
        }
    }

    /// The store is closed or broken: all are woken and will get that error.
    pub fn dismiss(&mut self) {
        let numbers = std::mem::take(&mut self.numbers);
        if numbers.len() > MANY {
            janitor::drop_elsewhere(numbers);
        }
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let waiting = waiting.map(|waiter| (waiter.pid, waiter.reference));
        waker::notify_all(waiting, Tag::Turn);
    }

    /// This process stops waiting; a turn it already has passes to the next one.
    pub fn quit(&mut self, pid: LocalPid) -> Option<Waiter> {
        let number = self.numbers.remove(&pid);
        let waiter = number.and_then(|number| self.waiting.remove(&number));
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
    /// The wait has ended. Not under the store's lock, since other locks are taken here.
    pub fn done(self, cell: &ResourceArc<StoreCell>, env: Env) {
        cell.demonitor(Some(env), &self.monitor);
        waits::forget(self.pid);
    }
}
