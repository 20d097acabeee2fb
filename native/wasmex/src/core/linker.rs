//! Imports resolved against a module: for one instance, or once for many (a template).

use crate::core::engine::EngineResource;
use crate::core::import::{self, Definition};
use crate::core::instance::{self, Plan};
use crate::core::module::ModuleResource;
use crate::guest::access;
use crate::guest::cell::{StoreCell, Via};
use crate::guest::data::{Limits, LimitsSpec, StoreData};
use crate::guest::drive;
use crate::guest::hosts::Hosts;
use crate::guest::job::Job;
use crate::guest::suspension::ImportTable;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::live::{Kind, Live};
use crate::wasi::context::Context;
use rustler::{Encoder, Env, NifResult, Resource, ResourceArc, Term};
use std::sync::Arc;
use wasmtime::{AsContextMut, Engine, InstancePre, Linker, Store, StoreContextMut};

pub struct TemplateResource {
    module: ResourceArc<ModuleResource>,
    pub template: InstancePre<StoreData>,
    /// The store that the template is tied to when it imports what belongs to one.
    store: Option<u64>,
    /// The host modules that it imports.
    hosts: Hosts,
    _live: Live,
}

impl Resource for TemplateResource {}
impl std::panic::RefUnwindSafe for TemplateResource {}

impl TemplateResource {
    /// Whether instances can be made in this store.
    pub fn check(&self, cell: &StoreCell) -> Result<()> {
        if !Engine::same(self.template.module().engine(), &cell.engine) {
            return Err(Error::text(atoms::foreign_engine(), "template"));
        }
        if self.store.is_some_and(|store| store != cell.id) {
            return Err(Error::ForeignStore(atoms::template()));
        }
        if let Some(name) = self.hosts.missing_from(cell.hosts) {
            let message = format!("the template imports {name}, which the store does not grant");
            return Err(Error::text(atoms::wasi(), message));
        }
        Ok(())
    }
}

/// What Elixir declares: the functions, and where each goes.
pub struct Wanted {
    declarations: Vec<import::Declaration>,
    functions: Arc<ImportTable>,
}

impl Wanted {
    fn decode(engine: &Engine, list: Term, functions: Term) -> NifResult<Self> {
        Ok(Wanted {
            declarations: import::declarations(engine, list)?,
            functions: ImportTable::new(functions),
        })
    }

    /// The store that an import belongs to, when one does.
    fn store(&self) -> Option<u64> {
        self.declarations
            .iter()
            .find_map(|declaration| match declaration.definition {
                Definition::Extern(_, store) => Some(store),
                Definition::Func(_) => None,
            })
    }

    pub fn define(
        self,
        linker: &mut Linker<StoreData>,
        cx: &mut StoreContextMut<'_, StoreData>,
    ) -> Result<()> {
        let table = self.functions;
        let mut index = 0;
        for declaration in self.declarations {
            let (namespace, name) = (declaration.namespace, declaration.name);
            let defined = match declaration.definition {
                Definition::Func(ty) => {
                    index += 1;
                    import::define(linker, &namespace, &name, ty, &table, index - 1)
                }
                Definition::Extern(_, store) if store != cx.data().id => {
                    return Err(Error::ForeignStore(atoms::import()));
                }
                Definition::Extern(external, _) => linker
                    .define(&mut *cx, &namespace, &name, external)
                    .map(|_| ()),
            };
            defined.map_err(|error| Error::text(atoms::duplicate_import(), error))?;
        }
        Ok(())
    }
}

/// Instantiates a module with imports and linked modules in one go.
#[rustler::nif]
fn instance_new<'a>(
    env: Env<'a>,
    cell: ResourceArc<StoreCell>,
    module: ResourceArc<ModuleResource>,
    declarations: Term<'a>,
    functions: Term<'a>,
    links: Vec<(String, ResourceArc<ModuleResource>)>,
    via: Via,
) -> NifResult<Term<'a>> {
    let engine = &cell.engine;
    let modules = links.iter().map(|(_, module)| module).chain([&module]);
    if modules
        .into_iter()
        .any(|module| !Engine::same(module.module.engine(), engine))
    {
        return Ok(Error::text(atoms::foreign_engine(), "module").to_term(env));
    }
    let wanted = Wanted::decode(engine, declarations, functions)?;
    let imports = links.iter().map(|(_, module)| module).chain([&module]);
    let imports = imports.flat_map(|module| module.module.imports().map(|import| import.module()));
    let linker = module.engine.linker(cell.hosts.imported(imports));
    let linker = match linker {
        Ok(linker) => linker,
        Err(error) => return Ok(Error::Guest(error).to_term(env)),
    };
    let links = links
        .into_iter()
        .map(|(name, module)| (name, module.module.clone()))
        .collect();
    // All in one go: who enters the store twice may be overtaken between, and begin anew without end.
    let plan = Plan::Link {
        linker,
        wanted,
        links,
        module: module.module.clone(),
    };
    Ok(drive::begin(env, &cell, via, Job::task(plan, None)))
}

/// Resolves imports once. With `cell` they may belong to that store, else only functions are allowed.
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
    let hosts = hosts.imported(module.module.imports().map(|import| import.module()));
    let resolve = |mut cx: StoreContextMut<'_, StoreData>| {
        let mut linker = engine.linker(hosts).map_err(Error::Guest)?;
        wanted.define(&mut linker, &mut cx)?;
        instance::prepare(&linker, &module.module, false, &mut cx)
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
                hosts,
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
fn scratch(engine: &EngineResource) -> Store<StoreData> {
    let limits = Limits::new(LimitsSpec::default());
    let data = StoreData::new(0, limits, Context::nothing());
    Store::new(&engine.engine, data)
}
