//! Elixir's handles of resources owned by a guest or by WASI.

use crate::component::instance::ComponentInstance;
use crate::component::problem::{Checked, Problem, ProblemKind};
use crate::component::state::Components;
use crate::guest::cell::StoreCell;
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::{ResourceAny, ResourceType};

/// A handle of a resource.
pub struct HandleResource {
    /// Its store.
    pub cell: ResourceArc<StoreCell>,
    components: Arc<Components>,
    /// The instance it came from, which exports its methods.
    pub instance: Option<ResourceArc<ComponentInstance>>,
    /// Its type.
    pub ty: ResourceType,
    /// `None` once it was dropped or moved.
    any: Mutex<Option<ResourceAny>>,
    _live: Live,
}

named_resource!(HandleResource, "guest resource");
impl std::panic::RefUnwindSafe for HandleResource {}

impl HandleResource {
    /// Wraps a handle returned by a guest.
    pub fn new(
        cell: ResourceArc<StoreCell>,
        components: Arc<Components>,
        instance: Option<ResourceArc<ComponentInstance>>,
        any: ResourceAny,
    ) -> ResourceArc<Self> {
        ResourceArc::new(HandleResource {
            cell,
            components,
            instance,
            ty: any.ty(),
            any: Mutex::new(Some(any)),
            _live: Live::new(Kind::Handle),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<ResourceAny>> {
        self.any.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Consumes the handle: the caller drops the resource or passes it to a guest.
    pub fn take(&self) -> Option<ResourceAny> {
        self.lock().take()
    }

    /// The resource, to be borrowed by a guest of this store that expects this type; `None` if it cannot be.
    pub fn lend(&self, store: u64, ty: ResourceType) -> Option<ResourceAny> {
        match self.cell.id == store && self.ty == ty {
            true => *self.lock(),
            false => None,
        }
    }

    /// Puts the handle back when the resource could not be dropped.
    pub fn put_back(&self, any: ResourceAny) {
        *self.lock() = Some(any);
    }

    /// Whether Elixir owns the resource.
    pub fn is_owned(&self) -> bool {
        self.lock().is_some_and(|any| any.owned())
    }

    /// Whether it was neither dropped nor moved.
    pub fn is_alive(&self) -> bool {
        self.lock().is_some()
    }
}

impl Drop for HandleResource {
    /// The resource's destructor may be guest code, which cannot run here; the store's next call runs it.
    fn drop(&mut self) {
        if let Some(any) = self.take()
            && any.owned()
        {
            self.components.orphan(any);
        }
    }
}

/// A handle among the arguments of a call.
pub struct Passed {
    handle: ResourceArc<HandleResource>,
    owned: bool,
    any: Option<ResourceAny>,
}

impl Passed {
    /// `owned` says whether it is moved or borrowed.
    pub fn new(handle: ResourceArc<HandleResource>, owned: bool) -> Self {
        Passed {
            handle,
            owned,
            any: None,
        }
    }

    /// What the guest receives, once [`resolve`] has found it.
    pub fn lowered(&self) -> wasmtime::Result<ResourceAny> {
        self.any
            .ok_or_else(|| wasmtime::Error::msg("a resource handle was not resolved"))
    }

    fn key(&self) -> *const HandleResource {
        &raw const *self.handle
    }
}

/// Takes moved handles and looks up borrowed ones. If any is unusable, none is moved.
pub fn resolve(passed: &mut [Passed]) -> Checked<()> {
    let refuse = |why| Err(Problem::new(ProblemKind::Handle(why)));
    if passed.len() > 1 {
        // For each handle so far, whether it is moved.
        let mut met: HashMap<_, bool> = HashMap::with_capacity(passed.len());
        for one in passed.iter() {
            let moved = met.get(&one.key()).copied();
            if moved == Some(true) && one.owned {
                return refuse("The same guest resource cannot be moved more than once");
            }
            if moved.is_some_and(|moved| moved || one.owned) {
                return refuse("A guest resource method cannot move its own receiver");
            }
            met.insert(one.key(), one.owned);
        }
    }
    for one in passed.iter_mut() {
        let any = *one.handle.lock();
        match any {
            None => {
                return refuse("Guest resource has already been dropped or moved");
            }
            Some(any) if one.owned && !any.owned() => {
                return refuse("A borrowed guest resource cannot be moved");
            }
            any => one.any = any,
        }
    }
    for one in passed.iter().filter(|one| one.owned) {
        one.handle.take();
    }
    Ok(())
}
