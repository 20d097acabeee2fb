//! Which processes wait for which stores: detects waits that would form a cycle and never end.
//!
//! A wait with a timeout ends by itself, and with it the cycle. So a cycle is certain for a process if those of all others
//! in it are endless.
//!
//! Lock order: the map, then a store. Cycles through other processes are detected by `Wasmex.Call.Deadlock`.

use crate::guest::cell::StoreCell;
use crate::vm::resource::ResourceArc;
use rustler::{Env, LocalPid};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// An edge of the wait-for graph.
struct Wait {
    /// The store that the process waits for.
    cell: ResourceArc<StoreCell>,
    /// Whether it waits without a timeout.
    endless: bool,
}

type Waits = HashMap<LocalPid, Wait>;

static WAITS: Mutex<Option<Waits>> = Mutex::new(None);

/// A process begins to wait, with a timeout as far as is known. False if that would never end.
pub fn remember(me: LocalPid, cell: &ResourceArc<StoreCell>) -> bool {
    let mut lock = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
    let waits = lock.get_or_insert_default();
    if is_cycle(waits, me, cell) {
        return false;
    }
    let wait = Wait {
        cell: cell.clone(),
        endless: false,
    };
    let previous = waits.insert(me, wait);
    drop(lock);
    // It may have been left behind, with the last handle of another store.
    drop(previous);
    true
}

/// The process waits without a timeout. False if that would never end.
pub fn forever(me: LocalPid, cell: &ResourceArc<StoreCell>) -> bool {
    let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
    let waits = waits.get_or_insert_default();
    match waits.get_mut(&me) {
        Some(wait) if wait.cell.id == cell.id => wait.endless = true,
        // Its turn has come.
        _ => return true,
    }
    !is_cycle(waits, me, cell)
}

/// Whether the holder of the store waits, directly or indirectly, for this process, and would for ever.
fn is_cycle(waits: &Waits, me: LocalPid, cell: &ResourceArc<StoreCell>) -> bool {
    let mut next = Some(cell.clone());
    for _ in 0..1_000 {
        match next.and_then(|held| held.driver()) {
            Some(driver) if driver == me => return true,
            Some(driver) => {
                let wait = waits.get(&driver).filter(|wait| wait.endless);
                next = wait.map(|wait| wait.cell.clone());
            }
            None => return false,
        }
    }
    false
}

/// This process stops waiting. Must not be called under a store's lock.
pub fn forget(pid: LocalPid) {
    let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
    let forgotten = waits.as_mut().and_then(|waits| waits.remove(&pid));
    drop(waits);
    // The last handle of a store may be dropped here, so not under the lock.
    drop(forgotten);
}

/// The calling process waits for the store without a timeout; false if that would never end.
#[rustler::nif]
fn store_wait_forever(env: Env, cell: ResourceArc<StoreCell>) -> bool {
    forever(env.pid(), &cell)
}
