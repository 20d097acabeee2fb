//! The job that creates an instance.

use crate::core::instance::InstanceResource;
use crate::core::linker::{self, Wanted};
use crate::core::memory;
use crate::core::module::ModuleResource;
use crate::core::template::TemplateResource;
use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::handoff;
use crate::guest::job::{Job, Running, Task, Work};
use crate::guest::suspension::ImportTable;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::fast_nif::{self, fast_nif};
use crate::vm::resource::{Argument, ResourceArc};
use rustler::sys::ErlNifTerm;
use rustler::{Encoder, Env, NifResult, Term};
use wasmtime::{Engine, Instance, Linker, StoreContextMut};

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
    let plan = Plan {
        linker,
        wanted,
        links,
        module,
    };
    Ok(drive::begin(env, &cell, via, Job::task(plan, None)))
}

fast_nif!(instance_from_template / 4);
/// Instantiates a template, whose imports are resolved.
fn instance_from_template<'a>(env: Env<'a>, args: [Term<'a>; 4]) -> NifResult<Term<'a>> {
    let [cell, template, fuel, via] = args;
    let cell: Argument<StoreCell> = cell.decode()?;
    let template: ResourceArc<TemplateResource> = template.decode()?;
    if is_long(template.module.imports()) {
        return Ok(dirty::again(env, c"instance_from_template", &args));
    }
    if let Err(error) = template.check(&cell) {
        return Ok(error.to_term(env));
    }
    let job = Job::new(FromTemplate(template), fast_nif::option(fuel)?);
    Ok(drive::begin(env, &cell, via.decode()?, job))
}

/// Imports resolved earlier. Without a box for its future, since this is quick.
struct FromTemplate(ResourceArc<TemplateResource>);

impl Work for FromTemplate {
    async fn run(self, mut cx: StoreContextMut<'_, StoreData>) -> Result<ErlNifTerm> {
        let FromTemplate(template) = self;
        count(&template.module, &mut cx);
        let instance = template.template.instantiate_async(&mut cx).await;
        finish(&template.module, instance.map_err(Error::Guest)?, cx).await
    }
}

/// Imports to resolve once the linked modules have been instantiated.
struct Plan {
    linker: Linker<StoreData>,
    wanted: Wanted,
    links: Vec<(String, ResourceArc<ModuleResource>)>,
    module: ResourceArc<ModuleResource>,
}

impl Task for Plan {
    fn run<'a>(self: Box<Self>, cx: StoreContextMut<'a, StoreData>) -> Running<'a> {
        Box::pin(run(*self, cx))
    }
}

async fn run(plan: Plan, mut cx: StoreContextMut<'_, StoreData>) -> Result<ErlNifTerm> {
    let mut linker = plan.linker;
    plan.wanted.define(&mut linker, &mut cx)?;
    for (name, linked) in plan.links {
        let instance = link(&linker, &linked, true, &mut cx).await?;
        initialize(&linked, instance, &mut cx).await?;
        linker
            .instance(&mut cx, &name, instance)
            .map_err(|error| Error::text(atoms::duplicate_import(), error))?;
    }
    let instance = link(&linker, &plan.module, false, &mut cx).await?;
    finish(&plan.module, instance, cx).await
}

/// Initializes the instance and makes its handle.
async fn finish(
    module: &ModuleResource,
    instance: Instance,
    mut cx: StoreContextMut<'_, StoreData>,
) -> Result<ErlNifTerm> {
    let initialized = initialize(module, instance, &mut cx).await?;
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
    module: &ModuleResource,
    instance: Instance,
    cx: &mut StoreContextMut<'_, StoreData>,
) -> Result<bool> {
    if !module.initializes {
        return Ok(false);
    }
    match instance.get_func(&mut *cx, "_initialize") {
        // Boxed: rare, and large.
        Some(func) => Box::pin(func.call_async(cx, &[], &mut []))
            .await
            .map(|()| true)
            .map_err(Error::Guest),
        None => Ok(false),
    }
}
