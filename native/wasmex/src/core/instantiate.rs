//! The job that creates an instance.

use crate::core::instance::InstanceResource;
use crate::core::linker::{self, Wanted};
use crate::core::memory;
use crate::core::module::ModuleResource;
use crate::core::template::TemplateResource;
use crate::guest::cell::{StoreCell, Via};
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::handoff;
use crate::guest::job::{Job, Running, Task};
use crate::guest::suspension::ImportTable;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::resource::ResourceArc;
use rustler::sys::ErlNifTerm;
use rustler::{Encoder, Env, NifResult, Term};
use wasmtime::{Engine, ExternType, Instance, Linker, Module, StoreContextMut};

/// The number of imports that are resolved on a normal scheduler, in half a millisecond.
const MANY_IMPORTS: usize = 1000;

/// Whether a NIF that instantiates something with this number of imports must move to a dirty scheduler, see
/// [`dirty::again`].
pub fn is_long(imports: usize) -> bool {
    imports > MANY_IMPORTS && dirty::is_normal()
}

/// Instantiates a module together with its linked modules.
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
    let modules = || links.iter().map(|(_, module)| module).chain([&module]);
    let imports: usize = modules().map(|module| module.imports()).sum();
    let work = imports + links.len() + declarations.list_length().unwrap_or(0);
    if ImportTable::is_elsewhere(functions) || is_long(work) {
        let (cell, module) = (cell.encode(env), module.encode(env));
        let (links, via) = (links.encode(env), via.encode(env));
        let args = [cell, module, declarations, functions, links, via];
        return Ok(dirty::again(env, c"instance_new", &args));
    }
    let engine = &cell.engine;
    if modules().any(|module| !Engine::same(module.module.engine(), engine)) {
        return Ok(Error::text(atoms::foreign_engine(), "module").to_term(env));
    }
    let wanted = Wanted::decode(engine, declarations, functions)?;
    let imports = modules().flat_map(|module| module.module.imports());
    let needed = cell.hosts.imported(imports);
    let linker = module.engine.linker(cell.hosts, needed);
    let linker = match linker {
        Ok(linker) => linker,
        Err(error) => return Ok(Error::Guest(error).to_term(env)),
    };
    // In one job: if the store were entered twice, another process could come in between and force a restart,
    // endlessly.
    let plan = Plan::Link {
        linker,
        wanted,
        links,
        module,
    };
    Ok(drive::begin(env, &cell, via, Job::task(plan, None)))
}

/// Instantiates a template, whose imports are resolved.
#[rustler::nif]
fn instance_from_template<'a>(
    env: Env<'a>,
    cell: ResourceArc<StoreCell>,
    template: ResourceArc<TemplateResource>,
    fuel: Option<u64>,
    via: Via,
) -> Term<'a> {
    if is_long(template.module.imports()) {
        let (cell, template) = (cell.encode(env), template.encode(env));
        let args = [cell, template, fuel.encode(env), via.encode(env)];
        return dirty::again(env, c"instance_from_template", &args);
    }
    if let Err(error) = template.check(&cell) {
        return error.to_term(env);
    }
    let plan = Plan::Template(template);
    drive::begin(env, &cell, via, Job::task(plan, fuel))
}

/// The input for creating an instance.
enum Plan {
    /// Imports resolved earlier.
    Template(ResourceArc<TemplateResource>),
    /// Imports to resolve once the linked modules have been instantiated.
    Link {
        linker: Linker<StoreData>,
        wanted: Wanted,
        links: Vec<(String, ResourceArc<ModuleResource>)>,
        module: ResourceArc<ModuleResource>,
    },
}

impl Task for Plan {
    fn run<'a>(self: Box<Self>, cx: StoreContextMut<'a, StoreData>) -> Running<'a> {
        Box::pin(run(*self, cx))
    }
}

async fn run(plan: Plan, mut cx: StoreContextMut<'_, StoreData>) -> Result<ErlNifTerm> {
    let (instance, module) = match plan {
        Plan::Template(template) => {
            count(&template.module, &mut cx);
            let instance = template
                .template
                .instantiate_async(&mut cx)
                .await
                .map_err(Error::Guest)?;
            (instance, template.module.clone())
        }
        Plan::Link {
            mut linker,
            wanted,
            links,
            module,
        } => {
            wanted.define(&mut linker, &mut cx)?;
            for (name, linked) in links {
                let instance = link(&linker, &linked, true, &mut cx).await?;
                initialize(&linked.module, instance, &mut cx).await?;
                linker
                    .instance(&mut cx, &name, instance)
                    .map_err(|error| Error::text(atoms::duplicate_import(), error))?;
            }
            (link(&linker, &module, false, &mut cx).await?, module)
        }
    };
    let initialized = initialize(&module.module, instance, &mut cx).await?;
    env::in_env(|env| {
        let cell = handoff::current_cell()?;
        let module = (module.module.clone(), module.memory.clone());
        let resource = InstanceResource::new(cell, instance, module, initialized);
        Some(resource.encode(env).as_c_arg())
    })
    .flatten()
    .ok_or(Error::Cancelled)
}

fn count(module: &ModuleResource, cx: &mut StoreContextMut<'_, StoreData>) {
    let memory = module.memory.as_deref();
    let memory = memory.filter(|name| *name != memory::NAME);
    cx.data_mut().count_instance(memory);
}

async fn link(
    linker: &Linker<StoreData>,
    module: &ModuleResource,
    linked: bool,
    cx: &mut StoreContextMut<'_, StoreData>,
) -> Result<Instance> {
    let template = linker::prepare(linker, &module.module, linked, cx)?;
    count(module, cx);
    template.instantiate_async(cx).await.map_err(Error::Guest)
}

/// Calls a reactor's `_initialize`. Returns whether it has one.
async fn initialize(
    module: &Module,
    instance: Instance,
    cx: &mut StoreContextMut<'_, StoreData>,
) -> Result<bool> {
    let Some(ExternType::Func(ty)) = module.get_export("_initialize") else {
        return Ok(false);
    };
    if ty.params().len() + ty.results().len() > 0 {
        return Ok(false);
    }
    match instance.get_func(&mut *cx, "_initialize") {
        Some(func) => func
            .call_async(cx, &[], &mut [])
            .await
            .map(|()| true)
            .map_err(Error::Guest),
        None => Ok(false),
    }
}
