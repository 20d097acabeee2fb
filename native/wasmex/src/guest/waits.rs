//! Which processes wait for which stores: detects waits that would form a cycle and never end.
//!
//! Lock order: the map, then a store. Cycles through other processes are detected by `Wasmex.Call.Deadlock`.

use crate::guest::cell::StoreCell;
use crate::vm::resource::ResourceArc;
use rustler::LocalPid;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The store that each queued process waits for: the edges of the wait-for graph.
static WAITS: Mutex<Option<HashMap<LocalPid, ResourceArc<StoreCell>>>> = Mutex::new(None);

/// False if the holder of the store waits, directly or indirectly, for this process.
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

/// This process stops waiting. Must not be called under a store's lock.
pub fn forget(pid: LocalPid) {
    let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
    let forgotten = waits.as_mut().and_then(|waits| waits.remove(&pid));
    drop(waits);
    // The last handle of a store may be dropped here, so not under the lock.
    drop(forgotten);
}
