//! Imports of a component, resolved once: templates.

use super::compiled::ComponentResource;
use super::describe;
use super::import::{self, ComponentImport};
use super::state::Components;
use super::style::Style;
use super::task::Instantiate;
use crate::guest::cell::{StoreCell, Via};
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::hosts::{self, Hosts};
use crate::guest::job::Job;
use crate::guest::suspension::ImportTable;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::live::{Kind, Live};
use rustler::{Atom, Encoder, Env, NifResult, Resource, ResourceArc, Term};
use std::collections::HashSet;
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{InstancePre, Linker};

pub struct ComponentTemplate {
    component: ResourceArc<ComponentResource>,
    template: InstancePre<StoreData>,
    _live: Live,
}

impl Resource for ComponentTemplate {}
impl std::panic::RefUnwindSafe for ComponentTemplate {}

/// `{interface | nil, name, :fn | :resource, index | nil}`; functions are numbered in their tuple.
type Declaration = (Option<String>, String, Atom, Option<u32>);

#[rustler::nif(schedule = "DirtyCpu")]
fn component_template_new<'a>(
    env: Env<'a>,
    component: ResourceArc<ComponentResource>,
    declarations: Vec<Declaration>,
    functions: Term<'a>,
    style: Style,
) -> NifResult<Term<'a>> {
    let table = ImportTable::new(functions);
    let template = component
        .engine
        .component_linker(hosts(&component))
        .map_err(Error::Guest)
        .and_then(|mut linker| {
            define(&mut linker, &component, &declarations, &table, style)?;
            resolve(&linker, &component, &declarations)
        });
    Ok(match template {
        Ok(template) => {
            let resource = ComponentTemplate {
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
    style: Style,
) -> Result<()> {
    for (interface, name, kind, index) in declarations {
        let function = index.map(|index| ComponentImport::new(table, index, style));
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
                false => Error::MissingImports(missing),
            }
        })
}

/// Imports that nobody gives: interface, name and type of each.
fn missing(
    component: &ComponentResource,
    declarations: &[Declaration],
) -> Vec<(Option<String>, String, String)> {
    let given: HashSet<(Option<String>, &str)> = declarations
        .iter()
        .map(|(interface, name, _, _)| (interface.as_deref().map(compatible), name.as_str()))
        .collect();
    let engine = &component.engine.engine;
    let mut missing = Vec::new();
    let mut check = |interface: Option<&str>, name: &str, item: &ComponentItem| {
        let ty = match item {
            ComponentItem::ComponentFunc(func) => describe::signature(func),
            ComponentItem::Resource(_) => "resource".to_string(),
            _ => return,
        };
        if !given.contains(&(interface.map(compatible), name)) {
            missing.push((interface.map(String::from), name.to_string(), ty));
        }
    };
    for (name, item) in component.component.component_type().imports(engine) {
        match &item.ty {
            ComponentItem::ComponentInstance(instance) if !hosts::provided(name) => {
                for (inner, item) in instance.exports(engine) {
                    check(Some(name), inner, &item.ty);
                }
            }
            ComponentItem::ComponentInstance(_) => {}
            item => check(None, name, item),
        }
    }
    missing
}

/// The host modules that it imports. What a store grants is decided when a guest calls.
fn hosts(component: &ComponentResource) -> Hosts {
    let engine = &component.engine.engine;
    let ty = component.component.component_type();
    Hosts::all().imported(ty.imports(engine).map(|(name, _)| name))
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

#[rustler::nif]
fn component_instantiate<'a>(
    env: Env<'a>,
    cell: ResourceArc<StoreCell>,
    template: ResourceArc<ComponentTemplate>,
    fuel: Option<u64>,
    via: Via,
) -> Term<'a> {
    if !Engine::same(&template.component.engine.engine, &cell.engine) {
        return Error::text(atoms::foreign_engine(), "component").to_term(env);
    }
    if Components::of(&cell).is_spent() {
        return Error::Spent.to_term(env);
    }
    let task = Instantiate {
        template: template.template.clone(),
        component: template.component.clone(),
    };
    drive::begin(env, &cell, via, Job::task(task, fuel))
}
