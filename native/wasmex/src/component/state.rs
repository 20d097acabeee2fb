//! What a store keeps about its components, in reach of code that has no access to the store.

use super::compiled::ComponentResource;
use super::hosted::HostedTable;
use super::instance::ComponentInstance;
use crate::guest::cell::StoreCell;
use crate::vm::slots::Shared;
use rustler::ResourceArc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::WasmBacktrace;
use wasmtime::component::ResourceAny;

#[derive(Default)]
pub struct Components {
    pub hosted: HostedTable,
    /// Resources whose handles are gone: dropped before the next call.
    doomed: Mutex<Vec<ResourceAny>>,
    /// The instances whose calls are under way, innermost last.
    stack: Mutex<Vec<ResourceArc<ComponentInstance>>>,
    /// The components of its instances: values are converted by their types for as long as they live.
    kept: Mutex<Vec<ResourceArc<ComponentResource>>>,
    /// A call ended in the middle; wasmtime lets no component of this store run any more.
    spent: AtomicBool,
}

impl Shared for Components {
    /// What was kept of Elixir's is let go, for that may hold the store.
    fn close(&self) {
        drop(std::mem::take(&mut *lock(&self.kept)));
        self.hosted.clear();
    }
}

impl Components {
    /// Those of this store. Whoever needs them often keeps what this returns.
    pub fn of(cell: &StoreCell) -> Arc<Self> {
        cell.slots.get_or_default()
    }

    pub fn doom(&self, any: ResourceAny) {
        lock(&self.doomed).push(any);
    }

    pub fn has_doomed(&self) -> bool {
        !lock(&self.doomed).is_empty()
    }

    pub fn take_doomed(&self) -> Vec<ResourceAny> {
        std::mem::take(&mut lock(&self.doomed))
    }

    pub fn keep(&self, component: &ResourceArc<ComponentResource>) {
        let mut kept = lock(&self.kept);
        if !kept
            .iter()
            .any(|known| std::ptr::eq(&raw const **known, &raw const **component))
        {
            kept.push(component.clone());
        }
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
    components: Arc<Components>,
    /// Whether its instance is on the stack; one that is being made is none yet.
    stacked: bool,
    ended: bool,
}

impl Underway {
    pub fn begin(instance: &ResourceArc<ComponentInstance>) -> Self {
        let components = instance.components.clone();
        lock(&components.stack).push(instance.clone());
        Underway {
            components,
            stacked: true,
            ended: false,
        }
    }

    /// An instance that is being made.
    pub fn making(components: Arc<Components>) -> Self {
        Underway {
            components,
            stacked: false,
            ended: false,
        }
    }

    /// An error that came before or after all guest code, and so cut nothing off, ends it too.
    pub fn end_if_outside(self, error: &wasmtime::Error) {
        if error.downcast_ref::<WasmBacktrace>().is_none() {
            self.end();
        }
    }

    pub fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if self.stacked {
            lock(&self.components.stack).pop();
        }
        if !self.ended {
            self.components.spend();
        }
    }
}
