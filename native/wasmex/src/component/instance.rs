//! Instances of components: their functions, by path.

use super::abi::{self, Answer, Args, Seen};
use super::compiled::ComponentResource;
use super::state::Components;
use super::style::Style;
use super::task::Call;
use crate::guest::access;
use crate::guest::cell::{StoreCell, Via};
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::job::Job;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::fast_nif::{self, fast_nif};
use crate::vm::live::{Kind, Live};
use rustler::{Env, NifResult, Resource, ResourceArc, Term};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Func, Instance, ResourceType};

pub struct ComponentInstance {
    pub cell: ResourceArc<StoreCell>,
    pub components: Arc<Components>,
    pub component: ResourceArc<ComponentResource>,
    pub instance: Instance,
    /// Functions that were called before, by their path.
    signatures: RwLock<HashMap<String, Arc<Signature>>>,
    /// The resources it exports: type, interface and name.
    resources: OnceLock<Vec<(ResourceType, String, String)>>,
    _live: Live,
}

impl Resource for ComponentInstance {}
impl std::panic::RefUnwindSafe for ComponentInstance {}

/// A function and what is needed to call it.
pub struct Signature {
    pub func: Func,
    pub params: Seen,
    names: Vec<String>,
}

impl Signature {
    fn new(cx: &StoreContextMut<'_, StoreData>, func: Func) -> Result<Self> {
        let check = || func.typed::<Args, Answer<0>>(cx).map(drop);
        let (params, _results) =
            abi::seen(check).map_err(|error| Error::chain(atoms::unsupported(), &error))?;
        let names = func
            .ty(cx)
            .params()
            .map(|(name, _)| name.to_string())
            .collect();
        Ok(Signature {
            func,
            params,
            names,
        })
    }

    pub fn param(&self, index: usize) -> &str {
        self.names.get(index).map_or("", String::as_str)
    }
}

impl ComponentInstance {
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
            signatures: RwLock::new(HashMap::new()),
            resources: OnceLock::new(),
            _live: Live::new(Kind::ComponentInstance),
        })
    }

    fn known(&self, key: &str) -> Option<Arc<Signature>> {
        self.signatures
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    fn look_up(
        &self,
        mut cx: StoreContextMut<'_, StoreData>,
        path: &[&str],
        key: &str,
    ) -> Result<Arc<Signature>> {
        self.find_resources(&mut cx);
        let mut parent = None;
        for (position, name) in path.iter().enumerate() {
            let found = self.instance.get_export(&mut cx, parent.as_ref(), name);
            let last = position + 1 == path.len();
            match found {
                Some((ComponentItem::ComponentFunc(_), index)) if last => {
                    let func = self.instance.get_func(&mut cx, index);
                    let func = func.ok_or_else(|| self.unknown(path, position))?;
                    let signature = Arc::new(Signature::new(&cx, func)?);
                    self.signatures
                        .write()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(key.to_string(), signature.clone());
                    return Ok(signature);
                }
                Some((ComponentItem::ComponentInstance(_), index)) if !last => {
                    parent = Some(index);
                }
                _ => return Err(self.unknown(path, position)),
            }
        }
        Err(self.unknown(path, 0))
    }

    fn unknown(&self, path: &[&str], position: usize) -> Error {
        let engine = &self.component.engine.engine;
        let ty = self.component.component.component_type();
        let names = match position {
            0 => ty
                .exports(engine)
                .map(|(name, _)| name.to_string())
                .collect(),
            _ => match path.first().and_then(|name| ty.get_export(engine, name)) {
                Some(item) => match item.ty {
                    ComponentItem::ComponentInstance(instance) => instance
                        .exports(engine)
                        .map(|(name, _)| name.to_string())
                        .collect(),
                    _ => Vec::new(),
                },
                None => Vec::new(),
            },
        };
        Error::UnknownPath {
            path: path.iter().map(|name| (*name).to_string()).collect(),
            position,
            names,
        }
    }

    fn find_resources(&self, cx: &mut StoreContextMut<'_, StoreData>) {
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

    /// The interface that exports the resource, and its name there.
    pub fn resource(&self, ty: ResourceType) -> Option<(&str, &str)> {
        self.resources
            .get()?
            .iter()
            .find(|(known, _, _)| *known == ty)
            .map(|(_, interface, name)| (interface.as_str(), name.as_str()))
    }
}

fast_nif!(component_call / 6);
/// `path` is a name or a list of names. The answer is a step; its result a list of at most one term.
fn component_call<'a>(
    env: Env<'a>,
    [instance, path, params, style, fuel, via]: [Term<'a>; 6],
) -> NifResult<Term<'a>> {
    let instance: ResourceArc<ComponentInstance> = instance.decode()?;
    let style: Style = style.decode()?;
    let fuel = fast_nif::option(fuel)?;
    let via = via.decode()?;
    let signature = match path.decode::<&str>() {
        Ok(name) => signature(env, &instance, name, &[name], via),
        Err(_) => {
            let path: Vec<&str> = path.decode()?;
            signature(env, &instance, &path.join("\0"), &path, via)
        }
    };
    let signature = match signature {
        Ok(signature) => signature,
        Err(answer) => return Ok(answer),
    };
    if instance.components.is_spent() {
        return Ok(Error::Spent.to_term(env));
    }
    let cell = instance.cell.clone();
    let call = Call {
        instance,
        signature,
        params: params.as_c_arg(),
        style,
    };
    Ok(drive::begin(env, &cell, via, Job::task(call, fuel)))
}

/// Looked up once, then known by its key.
fn signature<'a>(
    env: Env<'a>,
    instance: &ComponentInstance,
    key: &str,
    path: &[&str],
    via: Via,
) -> std::result::Result<Arc<Signature>, Term<'a>> {
    if let Some(signature) = instance.known(key) {
        return Ok(signature);
    }
    match access::with(env, &instance.cell, via, |cx| {
        instance.look_up(cx, path, key)
    }) {
        Ok(Ok(signature)) => Ok(signature),
        Ok(Err(error)) => Err(error.to_term(env)),
        Err(busy) => Err(busy),
    }
}

/// Whether a call ended in the middle, so that wasmtime lets no component of the store run any more.
#[rustler::nif]
fn component_store_spent(cell: ResourceArc<StoreCell>) -> bool {
    Components::of(&cell).is_spent()
}
