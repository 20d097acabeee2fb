//! State shared by all users of one component: the shapes of its types and its registered names.
//!
//! wasmtime lifts values without any context except the component's types, so the component is found by their address.

use crate::component::internal::{ComponentTypes, InterfaceType};
use crate::component::types::builder::Builder;
use crate::component::types::names::Name;
use crate::component::types::shape::Shape;
use rustler::sys::ErlNifTerm;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use wasmtime::component::ResourceType;

/// The types and names of one component.
pub struct Shared {
    /// wasmtime's types of the component.
    pub types: Arc<ComponentTypes>,
    /// Atoms by the WIT name they stand for.
    atoms: HashMap<String, ErlNifTerm>,
    shapes: RwLock<HashMap<InterfaceType, Arc<Shape>>>,
    /// wasmtime's ids of the resources implemented in Elixir, by interface and name.
    host_resources: Mutex<HashMap<(String, String), u32>>,
}

/// A shape that this thread used lately.
struct Recent {
    types: *const ComponentTypes,
    ty: InterfaceType,
    shared: Weak<Shared>,
    shape: Arc<Shape>,
}

impl Recent {
    /// While its component is alive, no other types can be at this address.
    fn is(&self, types: &Arc<ComponentTypes>, ty: InterfaceType) -> bool {
        self.ty == ty && self.types == Arc::as_ptr(types) && self.shared.strong_count() > 0
    }
}

thread_local! {
    /// Newest first. A loop that calls an import needs two, and its own result a third.
    static RECENT: RefCell<[Option<Recent>; 4]> = const { RefCell::new([const { None }; 4]) };
}

static REGISTRY: RwLock<Option<HashMap<usize, Weak<Shared>>>> = RwLock::new(None);
static NEXT_RESOURCE: AtomicU32 = AtomicU32::new(1);

impl Shared {
    /// `atoms` are those registered by Elixir, by their WIT names.
    pub fn new(types: Arc<ComponentTypes>, atoms: HashMap<String, ErlNifTerm>) -> Arc<Self> {
        let key = Arc::as_ptr(&types) as usize;
        let shared = Arc::new(Shared {
            types,
            atoms,
            shapes: RwLock::new(HashMap::new()),
            host_resources: Mutex::new(HashMap::new()),
        });
        REGISTRY
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_default()
            .insert(key, Arc::downgrade(&shared));
        shared
    }

    /// The component that these types belong to. It is kept alive while its guests run.
    pub fn find(types: &Arc<ComponentTypes>) -> wasmtime::Result<Arc<Self>> {
        REGISTRY
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .and_then(|registry| registry.get(&(Arc::as_ptr(types) as usize)))
            .and_then(Weak::upgrade)
            .ok_or_else(|| wasmtime::Error::msg("the component of this value is gone"))
    }

    /// A shape of the component that these types belong to. Those used last are cached: most calls repeat earlier ones.
    ///
    /// Not inlined: see `vm/env.rs`.
    #[inline(never)]
    pub fn shape_of(
        types: &Arc<ComponentTypes>,
        ty: InterfaceType,
    ) -> wasmtime::Result<Arc<Shape>> {
        let known = RECENT.with_borrow(|recent| {
            let known = recent.iter().flatten().find(|one| one.is(types, ty));
            known.map(|one| one.shape.clone())
        });
        if let Some(shape) = known {
            return Ok(shape);
        }
        let shared = Self::find(types)?;
        let shape = shared.shape(ty)?;
        let one = Recent {
            types: Arc::as_ptr(types),
            ty,
            shared: Arc::downgrade(&shared),
            shape: shape.clone(),
        };
        let oldest = RECENT.with_borrow_mut(|recent| {
            recent.rotate_right(1);
            recent[0].replace(one)
        });
        drop(oldest);
        Ok(shape)
    }

    /// The shape of a type, built on first use.
    pub fn shape(&self, ty: InterfaceType) -> wasmtime::Result<Arc<Shape>> {
        if let Some(shape) = self
            .shapes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&ty)
        {
            return Ok(shape.clone());
        }
        let mut shapes = self.shapes.write().unwrap_or_else(PoisonError::into_inner);
        Builder {
            types: &self.types,
            shared: self,
            shapes: &mut shapes,
        }
        .shape(ty, 0)
    }

    /// A name with its registered atom.
    pub fn name(&self, text: &str) -> Name {
        Name::new(text, self.atoms.get(text).copied())
    }

    /// The id of a resource implemented in Elixir.
    pub fn host_resource(&self, interface: &str, name: &str) -> u32 {
        *self
            .host_resources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((interface.to_string(), name.to_string()))
            .or_insert_with(|| NEXT_RESOURCE.fetch_add(1, Ordering::Relaxed))
    }

    /// The id, if Elixir implements this resource.
    pub fn implemented(&self, ty: ResourceType) -> Option<u32> {
        self.host_resources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .copied()
            .find(|id| ResourceType::host_dynamic(*id) == ty)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // These types live until this function ends, so the address is still this component's.
        let key = Arc::as_ptr(&self.types) as usize;
        let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(registry) = registry.as_mut()
            && registry
                .get(&key)
                .is_some_and(|weak| weak.strong_count() == 0)
        {
            registry.remove(&key);
        }
    }
}
