//! Instances of components, made from templates.

use crate::component::compiled::ComponentResource;
use crate::component::instance::ComponentInstance;
use crate::component::state::{Components, Underway};
use crate::component::template::ComponentTemplate;
use crate::core::instantiate::is_long;
use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::handoff;
use crate::guest::job::{Job, Running, Task};
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::resource::ResourceArc;
use rustler::sys::ErlNifTerm;
use rustler::{Encoder, Env, Term};
use wasmtime::component::InstancePre;
use wasmtime::{Engine, StoreContextMut};

#[rustler::nif]
fn component_instantiate<'a>(
    env: Env<'a>,
    cell: ResourceArc<StoreCell>,
    template: ResourceArc<ComponentTemplate>,
    fuel: Option<u64>,
    via: Via,
) -> Term<'a> {
    if is_long(template.items) {
        let (cell, template) = (cell.encode(env), template.encode(env));
        let args = [cell, template, fuel.encode(env), via.encode(env)];
        return dirty::again(env, c"component_instantiate", &args);
    }
    if !Engine::same(&template.component.engine.engine, &cell.engine) {
        return Error::text(atoms::foreign_engine(), "component").to_term(env);
    }
    if let Err(error) = Components::of(&cell).check() {
        return error.to_term(env);
    }
    let task = Instantiate {
        template: template.template.clone(),
        component: template.component.clone(),
    };
    drive::begin(env, &cell, via, Job::task(task, fuel))
}

/// Makes an instance.
struct Instantiate {
    template: InstancePre<StoreData>,
    component: ResourceArc<ComponentResource>,
}

impl Task for Instantiate {
    fn run<'a>(self: Box<Self>, cx: StoreContextMut<'a, StoreData>) -> Running<'a> {
        Box::pin(instantiate(self.template, self.component, cx))
    }
}

async fn instantiate(
    template: InstancePre<StoreData>,
    component: ResourceArc<ComponentResource>,
    mut cx: StoreContextMut<'_, StoreData>,
) -> Result<ErlNifTerm> {
    cx.data_mut().count_instance(None);
    let cell = handoff::current_cell().ok_or(Error::Cancelled)?;
    let components = Components::of(&cell);
    components.keep(&component);
    components.hosted.limit(cx.data().limits.held());
    if let Some(outgoing) = cell.slots.get() {
        components.send_with(outgoing);
    }
    let underway = Underway::making(&components);
    let instance = match template.instantiate_async(&mut cx).await {
        Ok(instance) => instance,
        Err(error) => {
            underway.end_if_outside(&error);
            return Err(Error::Guest(error));
        }
    };
    underway.end();
    env::in_env(|env| {
        let instance = ComponentInstance::new(cell, component, instance);
        instance.encode(env).as_c_arg()
    })
    .ok_or(Error::Cancelled)
}
