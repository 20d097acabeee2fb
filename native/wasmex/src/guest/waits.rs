//! Who waits for whom over stores: finds the wait that would close a cycle, which could never end.
//!
//! Locks are taken in this order: the map, then a store. Cycles that run over other processes are
//! `Wasmex.Call.Deadlock`'s to find.

use crate::guest::cell::StoreCell;
use rustler::{LocalPid, ResourceArc};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Which store each queued process waits for: the edges along which a cycle would be a deadlock.
static WAITS: Mutex<Option<HashMap<LocalPid, ResourceArc<StoreCell>>>> = Mutex::new(None);

/// False when the store is held by a process that waits, over any number of stores, for this one.
pub fn remember(me: LocalPid, cell: &ResourceArc<StoreCell>) -> bool {
    let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
    let waits = waits.get_or_insert_default();
    let mut next = Some(cell.clone());
    let mut steps = 0;
    while let Some(held) = next {
        match held.driver() {
            Some(driver) if driver == me => return false,
            Some(driver) if steps < 1_000 => next = waits.get(&driver).cloned(),
            _ => break,
        }
        steps += 1;
    }
    waits.insert(me, cell.clone());
    true
}

/// The wait of this process is over. Not to be called under a store's lock.
pub fn forget(pid: LocalPid) {
    let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
    let forgotten = waits.as_mut().and_then(|waits| waits.remove(&pid));
    drop(waits);
    // The last handle of a store may go here; not under the lock.
    drop(forgotten);
}
