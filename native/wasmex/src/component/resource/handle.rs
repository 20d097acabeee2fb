//! Handles of resources that a guest (or WASI) owns, as Elixir holds them.

use crate::component::instance::ComponentInstance;
use crate::component::problem::{Checked, Problem, ProblemKind};
use crate::component::state::Components;
use crate::guest::cell::StoreCell;
use crate::vm::live::{Kind, Live};
use rustler::{Resource, ResourceArc};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::{ResourceAny, ResourceType};

/// A handle of a resource.
pub struct HandleResource {
    /// The store that it lives in.
    pub cell: ResourceArc<StoreCell>,
    components: Arc<Components>,
    /// The instance it came from, which has its methods.
    pub instance: Option<ResourceArc<ComponentInstance>>,
    /// Its type.
    pub ty: ResourceType,
    /// `None` once it was dropped or moved.
    any: Mutex<Option<ResourceAny>>,
    _live: Live,
}

impl Resource for HandleResource {}
impl std::panic::RefUnwindSafe for HandleResource {}

impl HandleResource {
    /// A handle that came out of a guest.
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

    /// Ends the handle; whoever takes it drops the resource or hands it to a guest.
    pub fn take(&self) -> Option<ResourceAny> {
        self.lock().take()
    }

    /// What was taken could not be dropped.
    pub fn put_back(&self, any: ResourceAny) {
        *self.lock() = Some(any);
    }

    /// Whether it was neither dropped nor moved.
    pub fn is_alive(&self) -> bool {
        self.lock().is_some()
    }
}

impl Drop for HandleResource {
    /// A destructor may be guest code, which can't run here: the store's next call runs it.
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
    /// `owned` says whether it is moved or lent.
    pub fn new(handle: ResourceArc<HandleResource>, owned: bool) -> Self {
        Passed {
            handle,
            owned,
            any: None,
        }
    }

    /// What goes to the guest, once [`resolve`] has found it.
    pub fn lowered(&self) -> wasmtime::Result<ResourceAny> {
        self.any
            .ok_or_else(|| wasmtime::Error::msg("a resource handle was not resolved"))
    }

    fn key(&self) -> *const HandleResource {
        &raw const *self.handle
    }
}

/// Takes what is moved and looks up what is lent: when one of them can't be, none is moved.
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
