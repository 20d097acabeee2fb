//! A compiled plug-in: its modules with their imports resolved, ready to be instantiated in any store.

use crate::core::engine::EngineResource;
use crate::core::module::ModuleResource;
use crate::guest::data::StoreData;
use crate::guest::hosts::Hosts;
use crate::guest::suspension::{Import, ImportTable};
use crate::plugin::abi;
use crate::plugin::functions::{self, HTTP, LOG};
use crate::plugin::kernel::Kernel;
use crate::plugin::link::{self, Linked};
use crate::plugin::requests::Sending;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};
use rustler::{Encoder, Env, NifResult, Term};
use std::sync::Arc;
use wasmtime::{Engine, Linker, Module};

/// A compiled and linked plug-in.
pub struct PluginTemplate {
    pub engine: ResourceArc<EngineResource>,
    pub kernel: Kernel,
    /// The linker shared by all stores: functions of the ABI and of Elixir, WASI.
    pub linker: Linker<StoreData>,
    /// In the order of instantiation; the last is the plug-in itself.
    pub modules: Vec<Linked>,
    /// The number of their imports.
    pub imports: usize,
    /// The host modules they import.
    pub hosts: Hosts,
    /// The library's own Elixir functions, by index.
    pub own: [Import; 2],
    /// How its HTTP requests are sent.
    pub sending: Sending,
    _live: Live,
}

named_resource!(PluginTemplate, "compiled plug-in");
impl std::panic::RefUnwindSafe for PluginTemplate {}

impl PluginTemplate {
    /// The plug-in's own module.
    pub fn main(&self) -> Option<&Module> {
        self.modules.last().map(|linked| &linked.module)
    }
}

/// `modules` are `[{name, module}]` in the order of instantiation, `declarations` those of `functions`, a tuple that
/// begins with the library's own.
#[rustler::nif(schedule = "DirtyCpu")]
fn plugin_template_new<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    modules: Vec<(String, ResourceArc<ModuleResource>)>,
    declarations: Term<'a>,
    functions: Term<'a>,
    hosts: Hosts,
    sending: Sending,
) -> NifResult<Term<'a>> {
    if modules
        .iter()
        .any(|(_, module)| !Engine::same(module.module.engine(), &engine.engine))
    {
        return Ok(Error::text(atoms::foreign_engine(), "module").to_term(env));
    }
    let declarations = functions::declarations(declarations)?;
    let table = ImportTable::new(functions);
    let functions = (declarations, &table);
    Ok(match make(engine, modules, functions, hosts, sending) {
        Ok(template) => (atoms::ok(), ResourceArc::new(template)).encode(env),
        Err(error) => error.to_term(env),
    })
}

fn make(
    engine: ResourceArc<EngineResource>,
    modules: Vec<(String, ResourceArc<ModuleResource>)>,
    (declarations, table): (Vec<functions::Declaration>, &Arc<ImportTable>),
    hosts: Hosts,
    sending: Sending,
) -> Result<PluginTemplate> {
    let broken = |error: wasmtime::Error| Error::chain(atoms::compile(), &error);
    let kernel = Kernel::of(&engine.engine).map_err(broken)?;
    let number = modules.iter().map(|(_, module)| module.imports()).sum();
    let imports = modules
        .iter()
        .flat_map(|(_, module)| module.module.imports());
    let hosts = hosts.imported(imports);
    let mut linker = engine.linker(hosts, hosts).map_err(broken)?;
    linker.allow_shadowing(true);
    abi::define(&mut linker).map_err(broken)?;
    let users = declarations
        .iter()
        .map(|declaration| (declaration.namespace.clone(), declaration.name.clone()))
        .collect();
    functions::define(&mut linker, &engine.engine, declarations, table).map_err(broken)?;
    let modules = modules
        .into_iter()
        .map(|(name, module)| (name, module.module.clone()))
        .collect();
    let modules = link::resolve(&engine, &kernel, &linker, &users, modules)?;
    Ok(PluginTemplate {
        engine,
        kernel,
        linker,
        modules,
        imports: number,
        hosts,
        own: [table.function(LOG), table.function(HTTP)],
        sending,
        _live: Live::new(Kind::Template),
    })
}

/// The names of the callable functions.
#[rustler::nif(schedule = "DirtyCpu")]
fn plugin_template_functions(template: ResourceArc<PluginTemplate>) -> Vec<String> {
    let callable = |module| link::callable(module, usize::MAX);
    template.main().map(callable).unwrap_or_default()
}
