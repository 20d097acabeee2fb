//! Templates: imports resolved once for many instances.

use crate::core::engine::EngineResource;
use crate::core::linker::{self, Wanted};
use crate::core::module::ModuleResource;
use crate::guest::access;
use crate::guest::cell::StoreCell;
use crate::guest::data::{Limits, LimitsSpec, StoreData};
use crate::guest::foreign::ForeignStore;
use crate::guest::hosts::Hosts;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};
use crate::wasi::context::Context;
use rustler::{Encoder, Env, NifResult, Term};
use wasmtime::{AsContextMut, Engine, InstancePre, Store, StoreContextMut};

/// A module with resolved imports.
pub struct TemplateResource {
    /// Its module.
    pub module: ResourceArc<ModuleResource>,
    /// wasmtime's template.
    pub template: InstancePre<StoreData>,
    /// The store that the template is tied to, if it imports an item of one.
    store: Option<u64>,
    /// The host modules it imports.
    hosts: Hosts,
    _live: Live,
}

named_resource!(TemplateResource, "template");
impl std::panic::RefUnwindSafe for TemplateResource {}

impl TemplateResource {
    /// Whether it can be instantiated in this store.
    pub fn check(&self, cell: &StoreCell) -> Result<()> {
        if !Engine::same(self.template.module().engine(), &cell.engine) {
            return Err(Error::text(atoms::foreign_engine(), "template"));
        }
        if self.store.is_some_and(|store| store != cell.id) {
            return Err(ForeignStore {
                kind: atoms::template(),
            }
            .into());
        }
        if let Some(name) = self.hosts.missing_from(cell.hosts) {
            let message = match name.starts_with("wasmedge") {
                true => "it imports functions for sockets that the option :sockets does not allow"
                    .into(),
                false => format!("the template imports {name}, which the store does not grant"),
            };
            return Err(Error::text(atoms::wasi(), message));
        }
        Ok(())
    }
}

/// Resolves imports once. With `cell` they may belong to that store, otherwise only functions are allowed.
#[rustler::nif(schedule = "DirtyCpu")]
fn template_new<'a>(
    env: Env<'a>,
    module: ResourceArc<ModuleResource>,
    declarations: Term<'a>,
    functions: Term<'a>,
    hosts: Hosts,
    cell: Option<ResourceArc<StoreCell>>,
) -> NifResult<Term<'a>> {
    let engine = module.engine.clone();
    let wanted = Wanted::decode(&engine.engine, declarations, functions)?;
    let store = wanted.store();
    let needed = hosts.imported(module.module.imports());
    let resolve = |mut cx: StoreContextMut<'_, StoreData>| {
        let mut imports = engine.linker(hosts, needed).map_err(Error::Guest)?;
        wanted.define(&mut imports, &mut cx)?;
        linker::prepare(&imports, &module.module, false, &mut cx)
    };
    let template = match &cell {
        Some(cell) => match access::with(env, cell, Via::Store, resolve) {
            Ok(template) => template,
            Err(term) => return Ok(term),
        },
        None => resolve(scratch(&engine).as_context_mut()),
    };
    Ok(match template {
        Ok(template) => {
            let resource = TemplateResource {
                module: module.clone(),
                template,
                store,
                hosts: needed,
                _live: Live::new(Kind::Template),
            };
            (atoms::ok(), ResourceArc::new(resource)).encode(env)
        }
        Err(error) => error.to_term(env),
    })
}

#[rustler::nif]
fn template_module(template: ResourceArc<TemplateResource>) -> ResourceArc<ModuleResource> {
    template.module.clone()
}

/// An empty store, for looking up definitions that belong to none.
pub fn scratch(engine: &EngineResource) -> Store<StoreData> {
    let limits = Limits::new(LimitsSpec::default(), engine.cost);
    let data = StoreData::new(0, limits, Context::nothing());
    Store::new(&engine.engine, data)
}
