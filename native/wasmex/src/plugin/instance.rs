//! Plug-in instances: each has its own store and is initialised once.

use crate::core::instantiate::is_long;
use crate::guest::access;
use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::host_term;
use crate::guest::job::{self, Job, Task};
use crate::guest::via::Via;
use crate::plugin::call::Call;
use crate::plugin::functions;
use crate::plugin::link::Provider;
use crate::plugin::memory;
use crate::plugin::state::{Running, Settings, State};
use crate::plugin::template::PluginTemplate;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::error::{Error, Result};
use crate::vm::fast_nif::{self, fast_nif};
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};
use crate::vm::weight;
use rustler::sys::ErlNifTerm;
use rustler::{Encoder, Env, NifResult, Term};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use wasmtime::{Engine, Func, Instance, Memory, StoreContextMut, Val};

/// The handle of a plug-in.
pub struct PluginResource {
    /// Replaced after `_start` has run.
    cell: Mutex<ResourceArc<StoreCell>>,
    template: ResourceArc<PluginTemplate>,
    _live: Live,
}

named_resource!(PluginResource, "plug-in");
impl std::panic::RefUnwindSafe for PluginResource {}

impl PluginResource {
    /// The cell of the plug-in's current store.
    pub fn cell(&self) -> ResourceArc<StoreCell> {
        self.cell
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A plug-in in this store, not started yet.
#[rustler::nif]
fn plugin_new<'a>(
    env: Env<'a>,
    cell: ResourceArc<StoreCell>,
    template: ResourceArc<PluginTemplate>,
    settings: Term<'a>,
) -> NifResult<Term<'a>> {
    if host_term::is_larger(settings, weight::MOST, true) {
        let args = [cell.encode(env), template.encode(env), settings];
        return Ok(dirty::again(env, c"plugin_new", &args));
    }
    Ok(made(env, cell, template, settings.decode()?))
}

fn made(
    env: Env,
    cell: ResourceArc<StoreCell>,
    template: ResourceArc<PluginTemplate>,
    settings: Settings,
) -> Term {
    if !Engine::same(&template.engine.engine, &cell.engine) {
        return Error::text(atoms::foreign_engine(), "plug-in").to_term(env);
    }
    if template.hosts.missing_from(cell.hosts).is_some() {
        return Error::text(atoms::wasi(), "the plug-in imports WASI").to_term(env);
    }
    access::reply(env, &cell, Via::Store, |mut cx| {
        // Enough fuel if the engine counts it; calls may have budgets.
        let _ = cx.set_fuel(u64::MAX);
        let state = State::new(template.own.clone(), template.sending.clone(), settings);
        cx.data_mut().slots.insert(state);
        let plugin = PluginResource {
            cell: Mutex::new(cell.clone()),
            template,
            _live: Live::new(Kind::Instance),
        };
        Ok(ResourceArc::new(plugin).encode(env))
    })
}

/// Instantiates and initialises it. Returns a step, see `Wasmex.Call`.
#[rustler::nif]
fn plugin_start<'a>(
    env: Env<'a>,
    plugin: ResourceArc<PluginResource>,
    fuel: Option<u64>,
) -> Term<'a> {
    if is_long(plugin.template.imports) {
        let args = [plugin.encode(env), fuel.encode(env)];
        return dirty::again(env, c"plugin_start", &args);
    }
    let job = Job::task(Start(plugin.template.clone()), fuel);
    drive::begin(env, &plugin.cell(), Via::Store, job)
}

// Calls a function by name. Returns a step; the result is the output, or a failure as in [`Call`].
fast_nif!(plugin_call / 4);
fn plugin_call<'a>(
    env: Env<'a>,
    [plugin, name, input, fuel]: [Term<'a>; 4],
) -> NifResult<Term<'a>> {
    let plugin: ResourceArc<PluginResource> = plugin.decode()?;
    if !name.is_binary() || !input.is_binary() {
        return Err(rustler::Error::BadArg);
    }
    let job = Job::task(Call::new(name, input), fast_nif::option(fuel)?);
    Ok(drive::begin(env, &plugin.cell(), Via::Store, job))
}

/// Replaces the store of `plugin` by that of `fresh`, unless another process has replaced `store` already.
#[rustler::nif]
fn plugin_replace(
    plugin: ResourceArc<PluginResource>,
    store: ResourceArc<StoreCell>,
    fresh: ResourceArc<PluginResource>,
) -> bool {
    let fresh = fresh.cell();
    let mut cell = plugin.cell.lock().unwrap_or_else(PoisonError::into_inner);
    let replaced = cell.id == store.id;
    if replaced {
        *cell = fresh;
    }
    replaced
}

#[rustler::nif]
fn plugin_store(plugin: ResourceArc<PluginResource>) -> ResourceArc<StoreCell> {
    plugin.cell()
}

/// Creates the plug-in of a store.
struct Start(ResourceArc<PluginTemplate>);

impl Task for Start {
    fn run<'a>(self: Box<Self>, cx: StoreContextMut<'a, StoreData>) -> job::Running<'a> {
        Box::pin(start(self.0, cx))
    }
}

/// Instantiates the plug-in of this store and initialises it, in the order of the reference implementation.
async fn start(
    template: ResourceArc<PluginTemplate>,
    mut cx: StoreContextMut<'_, StoreData>,
) -> Result<ErlNifTerm> {
    let cx = &mut cx;
    let instance = instantiate(&template, cx).await.map_err(Error::Guest)?;
    initialize(instance, cx).await.map_err(Error::Guest)?;
    functions::in_env(|env| atoms::nil().encode(env).as_c_arg()).map_err(Error::Guest)
}

async fn instantiate(
    template: &PluginTemplate,
    cx: &mut StoreContextMut<'_, StoreData>,
) -> wasmtime::Result<Instance> {
    cx.data_mut().count_instance(None);
    let kernel = template.kernel.template.instantiate_async(&mut *cx).await?;
    let memory = kernel
        .get_module_export(&mut *cx, &template.kernel.memory)
        .and_then(|external| external.into_memory())
        .ok_or_else(|| wasmtime::Error::msg("the kernel has no memory"))?;
    // From here on host functions can be called, by code that runs at instantiation.
    running(cx, memory, kernel)?;
    let mut providers = Vec::new();
    let (main, links) = template
        .modules
        .split_last()
        .ok_or_else(|| wasmtime::Error::msg("the plug-in has no module"))?;
    for linked in links {
        let imports = linked.externs(cx, &template.linker, kernel, &providers)?;
        let provider = linked.provide(cx, &imports).await?;
        if let Provider::Instance(instance) = &provider {
            call_if_plain(*instance, "_initialize", cx).await?;
        }
        providers.push(provider);
    }
    let imports = main.externs(cx, &template.linker, kernel, &providers)?;
    cx.data_mut().count_instance(None);
    let instance = Instance::new_async(&mut *cx, &main.module, &imports).await?;
    running(cx, memory, instance)?;
    // From here on the plug-in's memory counts.
    let pages = State::of(cx.data_mut())?.max_pages;
    cx.data_mut().limits.bound_growth(pages);
    Ok(instance)
}

fn running(
    cx: &mut StoreContextMut<'_, StoreData>,
    memory: Memory,
    instance: Instance,
) -> wasmtime::Result<()> {
    State::of(cx.data_mut())?.running = Some(Running {
        memory,
        instance,
        functions: HashMap::new(),
    });
    Ok(())
}

/// Haskell's runtime starts with `hs_init`, after `_initialize`. Other languages have either constructors or
/// `_initialize`.
async fn initialize(
    instance: Instance,
    cx: &mut StoreContextMut<'_, StoreData>,
) -> wasmtime::Result<()> {
    if let Some(init) = instance.get_func(&mut *cx, "hs_init") {
        call_if_plain(instance, "_initialize", cx).await?;
        return call_with_zeros(init, cx).await;
    }
    if call_if_plain(instance, "__wasm_call_ctors", cx).await? {
        return Ok(());
    }
    call_if_plain(instance, "_initialize", cx).await.map(drop)
}

/// Calls the function if it takes and returns nothing. Returns whether it did.
async fn call_if_plain(
    instance: Instance,
    name: &str,
    cx: &mut StoreContextMut<'_, StoreData>,
) -> wasmtime::Result<bool> {
    let Some(func) = instance.get_func(&mut *cx, name) else {
        return Ok(false);
    };
    match func.typed::<(), ()>(&*cx) {
        Ok(func) => func.call_async(cx, ()).await.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// `hs_init(0, 0)`: no arguments.
async fn call_with_zeros(
    func: Func,
    cx: &mut StoreContextMut<'_, StoreData>,
) -> wasmtime::Result<()> {
    let ty = func.ty(&*cx);
    let zeros = ty
        .params()
        .map(|ty| Val::default_for_ty(&ty).unwrap_or(Val::I32(0)))
        .collect::<Vec<_>>();
    let mut results = vec![Val::I32(0); ty.results().len()];
    func.call_async(cx, &zeros, &mut results).await
}

/// `:ok`. Frees all blocks and keeps variables.
#[rustler::nif]
fn plugin_reset<'a>(env: Env<'a>, plugin: ResourceArc<PluginResource>) -> Term<'a> {
    access::reply(env, &plugin.cell(), Via::Store, |mut cx| {
        // Within a call they belong to that call.
        if !State::of(cx.data_mut()).map_err(Error::Guest)?.is_nested() {
            memory::reset(&mut cx).map_err(Error::Guest)?;
        }
        Ok(atoms::ok().encode(env))
    })
}
