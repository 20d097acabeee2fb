//! Instances of components.

use crate::component::compiled::ComponentResource;
use crate::component::signature::Signature;
use crate::component::state::Components;
use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::vm::live::{Kind, Live};
use crate::vm::names::Names;
use crate::vm::resource::{ResourceArc, named_resource};

use std::sync::{Arc, OnceLock};
use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Instance, ResourceType};

/// An instance of a component.
pub struct ComponentInstance {
    /// Its store.
    pub cell: ResourceArc<StoreCell>,
    /// The store's component state.
    pub components: Arc<Components>,
    /// The compiled component.
    pub component: ResourceArc<ComponentResource>,
    /// wasmtime's instance.
    pub instance: Instance,
    /// Functions called before, by path.
    pub signatures: Names<Signature>,
    /// Its exported resources: type, interface and name.
    resources: OnceLock<Vec<(ResourceType, String, String)>>,
    _live: Live,
}

named_resource!(ComponentInstance, "component instance");
impl std::panic::RefUnwindSafe for ComponentInstance {}

/// A handle of an instance of this component.
#[rustler::nif]
fn component_instance_component(
    instance: ResourceArc<ComponentInstance>,
) -> ResourceArc<ComponentResource> {
    instance.component.clone()
}

impl ComponentInstance {
    /// A handle of this instance.
    pub fn new(
        cell: ResourceArc<StoreCell>,
        component: ResourceArc<ComponentResource>,
        instance: Instance,
    ) -> ResourceArc<Self> {
        ResourceArc::new(ComponentInstance {
            components: Components::of(&cell),
            cell,
            component,
            instance,
            signatures: Names::default(),
            resources: OnceLock::new(),
            _live: Live::new(Kind::ComponentInstance),
        })
    }

    /// Collects the exported resources, once.
    pub fn find_resources(&self, cx: &mut StoreContextMut<'_, StoreData>) {
        if self.resources.get().is_some() {
            return;
        }
        let engine = &self.component.engine.engine;
        let ty = self.component.component.component_type();
        let mut found = Vec::new();
        for (interface, item) in ty.exports(engine) {
            let ComponentItem::ComponentInstance(exports) = item.ty else {
                continue;
            };
            let index = self.instance.get_export_index(&mut *cx, None, interface);
            for (name, item) in exports.exports(engine) {
                if !matches!(item.ty, ComponentItem::Resource(_)) {
                    continue;
                }
                let inner = self
                    .instance
                    .get_export_index(&mut *cx, index.as_ref(), name);
                let ty = inner.and_then(|inner| self.instance.get_resource(&mut *cx, inner));
                if let Some(ty) = ty {
                    found.push((ty, interface.to_string(), name.to_string()));
                }
            }
        }
        let _ = self.resources.set(found);
    }

    /// The interface that exports the resource, and the resource's name there.
    pub fn resource(&self, ty: ResourceType) -> Option<(&str, &str)> {
        self.resources
            .get()?
            .iter()
            .find(|(known, _, _)| *known == ty)
            .map(|(_, interface, name)| (interface.as_str(), name.as_str()))
    }
}
