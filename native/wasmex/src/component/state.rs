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
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
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
    /// The innermost instance with a call in progress, an object that the state of the call keeps alive; or null. It is
    /// used only with the store, by one thread at a time.
    innermost: AtomicPtr<c_void>,
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
        let instance = self.innermost.load(Ordering::Relaxed);
        // SAFETY: set by `Underway`, which borrows a reference to this object until it is dropped.
        (!instance.is_null()).then(|| unsafe { ResourceArc::of(instance) })
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
pub struct Underway<'a> {
    components: &'a Components,
    /// The innermost instance before the call, unless the call makes an instance, which is not there yet.
    outer: Option<AtomicPtr<c_void>>,
    ended: bool,
}

impl<'a> Underway<'a> {
    /// A call of a function of this instance, or of a destructor. Calls end in the reverse order: each runs in an import
    /// of the one before.
    pub fn begin(instance: &'a ResourceArc<ComponentInstance>) -> Self {
        let components = &*instance.components;
        let outer = components.innermost.load(Ordering::Relaxed);
        components
            .innermost
            .store(instance.object(), Ordering::Relaxed);
        Underway {
            components,
            outer: Some(AtomicPtr::new(outer)),
            ended: false,
        }
    }

    /// An instance in the making.
    pub fn making(components: &'a Components) -> Self {
        Underway {
            components,
            outer: None,
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

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if let Some(outer) = &self.outer {
            let outer = outer.load(Ordering::Relaxed);
            self.components.innermost.store(outer, Ordering::Relaxed);
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
