//! What a store keeps about its components, in reach of code that has no access to the store.

use crate::component::compiled::ComponentResource;
use crate::component::instance::ComponentInstance;
use crate::component::resource::hosted::HostedTable;
use crate::guest::cell::StoreCell;
use crate::vm::error::Result;
use crate::vm::host_error::host_error;
use crate::vm::slots::Shared;
use crate::wasi::http::outgoing::Outgoing;
use rustler::ResourceArc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use wasmtime::WasmBacktrace;
use wasmtime::component::ResourceAny;

/// What one store keeps.
#[derive(Default)]
pub struct Components {
    /// Resources of Elixir.
    pub hosted: HostedTable,
    /// Resources whose handles are gone: dropped before the next call.
    orphans: Mutex<Vec<ResourceAny>>,
    /// The instances whose calls are under way, innermost last.
    stack: Mutex<Vec<ResourceArc<ComponentInstance>>>,
    /// The components of its instances: values are converted by their types for as long as they live.
    kept: Mutex<Vec<ResourceArc<ComponentResource>>>,
    /// A call ended in the middle; wasmtime lets no component of this store run any more.
    spent: AtomicBool,
    /// What sends the requests of its guests.
    outgoing: OnceLock<Arc<Outgoing>>,
}

host_error! {
    /// A component's call ended in the middle, earlier: none of the store's may run again.
    pub struct Spent = spent {}
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

    /// A handle was collected without being dropped: its resource is dropped before the next call.
    pub fn orphan(&self, any: ResourceAny) {
        lock(&self.orphans).push(any);
    }

    /// Whether there are resources to be dropped.
    pub fn has_orphans(&self) -> bool {
        !lock(&self.orphans).is_empty()
    }

    /// Those that are to be dropped now.
    pub fn take_orphans(&self) -> Vec<ResourceAny> {
        std::mem::take(&mut lock(&self.orphans))
    }

    /// Keeps a component for as long as the store is open.
    pub fn keep(&self, component: &ResourceArc<ComponentResource>) {
        let mut kept = lock(&self.kept);
        if !kept
            .iter()
            .any(|known| std::ptr::eq(&raw const **known, &raw const **component))
        {
            kept.push(component.clone());
        }
    }

    /// The instance whose call is under way, innermost.
    pub fn current(&self) -> Option<ResourceArc<ComponentInstance>> {
        lock(&self.stack).last().cloned()
    }

    /// What ends with the guests; known before the first of them runs.
    pub fn send_with(&self, outgoing: Arc<Outgoing>) {
        let _ = self.outgoing.set(outgoing);
    }

    /// A call ended in the middle: what its guest was sending breaks off.
    pub fn spend(&self) {
        self.spent.store(true, Ordering::Relaxed);
        if let Some(outgoing) = self.outgoing.get() {
            outgoing.close();
        }
    }

    /// Whether a call ended in the middle, so that no component of the store may run again.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// An error when no component of the store may run again.
    pub fn check(&self) -> Result<()> {
        match self.is_spent() {
            true => Err(Spent {}.into()),
            false => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call under way. One that is dropped before it says that it has ended was cancelled.
pub struct Underway {
    components: Arc<Components>,
    /// Whether its instance is on the stack. An instance that is being made is not.
    stacked: bool,
    ended: bool,
}

impl Underway {
    /// A call of a function of this instance, or of a destructor.
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

    /// The guest has returned.
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

/// Whether a call ended in the middle, so that wasmtime lets no component of the store run any more.
#[rustler::nif]
fn component_store_spent(cell: ResourceArc<StoreCell>) -> bool {
    Components::of(&cell).is_spent()
}
