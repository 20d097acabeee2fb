//! What a store keeps about its components, in reach of code that has no access to the store.

use super::hosted::HostedTable;
use super::instance::ComponentInstance;
use crate::store_cell::StoreCell;
use rustler::ResourceArc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use wasmtime::component::ResourceAny;

#[derive(Default)]
pub struct Components {
    pub hosted: HostedTable,
    /// Resources whose handles are gone: dropped before the next call.
    doomed: Mutex<Vec<ResourceAny>>,
    /// The instances whose calls are under way, innermost last.
    stack: Mutex<Vec<ResourceArc<ComponentInstance>>>,
    /// A call ended in the middle; wasmtime lets no component of this store run any more.
    spent: AtomicBool,
}

impl Components {
    pub fn doom(&self, any: ResourceAny) {
        lock(&self.doomed).push(any);
    }

    pub fn has_doomed(&self) -> bool {
        !lock(&self.doomed).is_empty()
    }

    pub fn take_doomed(&self) -> Vec<ResourceAny> {
        std::mem::take(&mut lock(&self.doomed))
    }

    pub fn current(&self) -> Option<ResourceArc<ComponentInstance>> {
        lock(&self.stack).last().cloned()
    }

    pub fn spend(&self) {
        self.spent.store(true, Ordering::Relaxed);
    }

    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call under way. One that is dropped before it says that it has ended was cancelled.
pub struct Underway {
    cell: ResourceArc<StoreCell>,
    ended: bool,
}

impl Underway {
    pub fn begin(instance: &ResourceArc<ComponentInstance>) -> Self {
        let cell = instance.cell.clone();
        lock(&cell.components.stack).push(instance.clone());
        Underway { cell, ended: false }
    }

    pub fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        lock(&self.cell.components.stack).pop();
        if !self.ended {
            self.cell.components.spend();
        }
    }
}
