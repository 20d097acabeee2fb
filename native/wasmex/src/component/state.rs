//! A store's component state, accessible without access to the store itself.

use crate::component::compiled::ComponentResource;
use crate::component::instance::ComponentInstance;
use crate::component::resource::hosted::HostedTable;
use crate::guest::cell::StoreCell;
use crate::vm::error::Result;
use crate::vm::host_error::host_error;
use crate::vm::resource::ResourceArc;
use crate::vm::slots::Shared;
use crate::wasi::http::outgoing::Outgoing;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use wasmtime::WasmBacktrace;
use wasmtime::component::ResourceAny;

/// The component state of one store.
#[derive(Default)]
pub struct Components {
    /// Resources implemented in Elixir.
    pub hosted: HostedTable,
    /// Resources whose handles were collected: dropped before the next call.
    orphans: Mutex<Vec<ResourceAny>>,
    /// Whether there are any.
    has_orphans: AtomicBool,
    /// The instances with calls in progress, innermost last.
    stack: Mutex<Vec<ResourceArc<ComponentInstance>>>,
    /// The components of its instances: their types are needed for conversion as long as they live.
    kept: Mutex<Vec<ResourceArc<ComponentResource>>>,
    /// A call was cut off; wasmtime lets no component of this store run any more.
    spent: AtomicBool,
    /// Sends the HTTP requests of its guests.
    outgoing: OnceLock<Arc<Outgoing>>,
}

host_error! {
    /// An earlier component call was cut off, so no component of this store can run again.
    pub struct Spent = spent {}
}

impl Shared for Components {
    /// Releases what belongs to Elixir, since it may hold the store.
    fn close(&self) {
        drop(std::mem::take(&mut *lock(&self.kept)));
        self.hosted.clear();
    }
}

impl Components {
    /// The state of this store. Frequent users keep the returned value.
    pub fn of(cell: &StoreCell) -> Arc<Self> {
        cell.slots.get_or_default()
    }

    /// A handle was garbage collected without a drop: its resource is dropped before the next call.
    pub fn orphan(&self, any: ResourceAny) {
        lock(&self.orphans).push(any);
        self.has_orphans.store(true, Ordering::Release);
    }

    /// Whether there are resources to drop.
    pub fn has_orphans(&self) -> bool {
        self.has_orphans.load(Ordering::Acquire)
    }

    /// Takes the resources to drop.
    pub fn take_orphans(&self) -> Vec<ResourceAny> {
        let mut orphans = lock(&self.orphans);
        self.has_orphans.store(false, Ordering::Release);
        std::mem::take(&mut orphans)
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

    /// The innermost instance with a call in progress.
    pub fn current(&self) -> Option<ResourceArc<ComponentInstance>> {
        lock(&self.stack).last().cloned()
    }

    /// What must end with the guests; set before the first of them runs.
    pub fn send_with(&self, outgoing: Arc<Outgoing>) {
        let _ = self.outgoing.set(outgoing);
    }

    /// A call was cut off: its outgoing requests are aborted.
    pub fn spend(&self) {
        self.spent.store(true, Ordering::Relaxed);
        if let Some(outgoing) = self.outgoing.get() {
            outgoing.close();
        }
    }

    /// Whether a call was cut off, so that no component of the store may run again.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// An error if no component of the store may run again.
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

/// A call in progress. If dropped before it is marked as ended, it was cancelled.
pub struct Underway {
    components: Arc<Components>,
    /// Whether its instance is on the stack. An instance in the making is not.
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

    /// An instance in the making.
    pub fn making(components: Arc<Components>) -> Self {
        Underway {
            components,
            stacked: false,
            ended: false,
        }
    }

    /// An error before or after all guest code cut nothing off, and also ends the call.
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

/// Whether a call was cut off, so that wasmtime lets no component of the store run any more.
#[rustler::nif]
fn component_store_spent(cell: ResourceArc<StoreCell>) -> bool {
    Components::of(&cell).is_spent()
}
