//! Components with their imports resolved: templates.

use crate::component::compiled::ComponentResource;
use crate::component::import::{self, ComponentImport};
use crate::component::mapping::Mapping;
use crate::component::types::written;
use crate::guest::data::StoreData;
use crate::guest::hosts::{self, Hosts};
use crate::guest::suspension::ImportTable;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::host_error::host_error;
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};
use rustler::{Atom, Encoder, Env, NifResult, Term};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{InstancePre, Linker};

/// A component with resolved imports.
pub struct ComponentTemplate {
    /// The component.
    pub component: ResourceArc<ComponentResource>,
    /// wasmtime's template.
    pub template: InstancePre<StoreData>,
    /// The number of its imports and exports, those of instances included.
    pub items: usize,
    _live: Live,
}

named_resource!(ComponentTemplate, "component template");
impl std::panic::RefUnwindSafe for ComponentTemplate {}

/// `{interface | nil, name, :fn | :resource, index | nil}`; functions are numbered in their tuple.
type Declaration = (Option<String>, String, Atom, Option<u32>);

#[rustler::nif(schedule = "DirtyCpu")]
fn component_template_new<'a>(
    env: Env<'a>,
    component: ResourceArc<ComponentResource>,
    declarations: Vec<Declaration>,
    functions: Term<'a>,
    mapping: Mapping,
) -> NifResult<Term<'a>> {
    let table = ImportTable::new(functions);
    let template = component
        .engine
        .component_linker(hosts(&component))
        .map_err(Error::Guest)
        .and_then(|mut linker| {
            define(&mut linker, &component, &declarations, &table, mapping)?;
            resolve(&linker, &component, &declarations)
        });
    Ok(match template {
        Ok(template) => {
            let resource = ComponentTemplate {
                items: items(&component),
                component,
                template,
                _live: Live::new(Kind::Template),
            };
            (atoms::ok(), ResourceArc::new(resource)).encode(env)
        }
        Err(error) => error.to_term(env),
    })
}

fn define(
    linker: &mut Linker<StoreData>,
    component: &ComponentResource,
    declarations: &[Declaration],
    table: &Arc<ImportTable>,
    mapping: Mapping,
) -> Result<()> {
    for (interface, name, kind, index) in declarations {
        let function = index.map(|index| ComponentImport::new(table, index, mapping));
        let mut place = match interface {
            Some(interface) => linker.instance(interface).map_err(duplicate)?,
            None => linker.root(),
        };
        let defined = match function {
            Some(function) if *kind == atoms::fn_() => import::define(&mut place, name, function),
            dropped => {
                let id = component
                    .shared
                    .host_resource(interface.as_deref().unwrap_or(""), name);
                import::define_resource(&mut place, name, id, dropped)
            }
        };
        defined.map_err(duplicate)?;
    }
    Ok(())
}

host_error! {
    /// Missing imports, at most [`MISSING`] of them.
    pub struct MissingImports = missing_imports {
        /// Interface, name and type of each.
        names: Vec<(Option<String>, String, String)>,
    }
}

/// Missing imports that an error names. Each has the name of its interface, which may be long.
const MISSING: usize = 1_000;

fn duplicate(error: wasmtime::Error) -> Error {
    Error::chain(atoms::duplicate_import(), &error)
}

fn resolve(
    linker: &Linker<StoreData>,
    component: &ComponentResource,
    declarations: &[Declaration],
) -> Result<InstancePre<StoreData>> {
    linker
        .instantiate_pre(&component.component)
        .map_err(|error| {
            let missing = missing(component, declarations);
            match missing.is_empty() {
                true => Error::chain(atoms::incompatible_import(), &error),
                false => MissingImports { names: missing }.into(),
            }
        })
}

/// The first imports that are not declared: interface, name and type of each.
fn missing(
    component: &ComponentResource,
    declarations: &[Declaration],
) -> Vec<(Option<String>, String, String)> {
    let mut declared: HashMap<Option<String>, HashSet<&str>> = HashMap::new();
    for (interface, name, _, _) in declarations {
        let interface = interface.as_deref().map(compatible);
        declared.entry(interface).or_default().insert(name);
    }
    let engine = &component.engine.engine;
    let mut missing = Vec::new();
    let mut check = |interface: Option<&str>, items: &mut dyn Iterator<Item = Item>| {
        let known = declared.get(&interface.map(compatible));
        for (name, item) in items {
            let ty = match item {
                _ if missing.len() == MISSING => return,
                _ if known.is_some_and(|names| names.contains(name)) => continue,
                ComponentItem::ComponentFunc(func) => written::signature(&func),
                ComponentItem::Resource(_) => "resource".to_string(),
                _ => continue,
            };
            missing.push((interface.map(String::from), name.to_string(), ty));
        }
    };
    for (name, item) in component.component.component_type().imports(engine) {
        match item.ty {
            ComponentItem::ComponentInstance(instance) if !hosts::provided(name) => {
                let items = instance.exports(engine);
                check(Some(name), &mut items.map(|(name, item)| (name, item.ty)));
            }
            ComponentItem::ComponentInstance(_) => {}
            ty => check(None, &mut std::iter::once((name, ty))),
        }
    }
    missing
}

/// The name and the type of an import.
type Item<'n> = (&'n str, ComponentItem);

/// See [`ComponentTemplate::items`].
fn items(component: &ComponentResource) -> usize {
    let engine = &component.engine.engine;
    let ty = component.component.component_type();
    let imports = ty.imports(engine).map(|(_, item)| inner(engine, &item.ty));
    let exports = ty.exports(engine).map(|(_, item)| inner(engine, &item.ty));
    imports.chain(exports).sum()
}

/// The number of items in an item. Validation limits how many one can have, and how deep.
fn inner(engine: &Engine, item: &ComponentItem) -> usize {
    let ComponentItem::ComponentInstance(instance) = item else {
        return 1;
    };
    let exports = instance.exports(engine);
    1 + exports
        .map(|(_, item)| inner(engine, &item.ty))
        .sum::<usize>()
}

/// The host modules it imports. Whether a store grants them is decided at the call.
fn hosts(component: &ComponentResource) -> Hosts {
    let engine = &component.engine.engine;
    let ty = component.component.component_type();
    Hosts::all().interfaces(ty.imports(engine).map(|(name, _)| name))
}

/// The name up to the part of its version that may differ (semantic versioning).
fn compatible(interface: &str) -> String {
    let Some((name, version)) = interface.split_once('@') else {
        return interface.to_string();
    };
    if version.contains('-') {
        return interface.to_string();
    }
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"));
    match (major, minor) {
        ("0", "0") => interface.to_string(),
        ("0", minor) => format!("{name}@0.{minor}"),
        (major, _) => format!("{name}@{major}"),
    }
}

#[rustler::nif]
fn component_template_component(
    template: ResourceArc<ComponentTemplate>,
) -> ResourceArc<ComponentResource> {
    template.component.clone()
}
