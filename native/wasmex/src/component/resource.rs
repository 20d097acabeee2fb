//! What Elixir may ask of a resource handle.

use super::compiled::ComponentResource;
use super::handle::HandleResource;
use super::instance::ComponentInstance;
use super::state::Components;
use super::task::Drop;
use crate::guest::cell::{StoreCell, Via};
use crate::guest::drive;
use crate::guest::job::Job;
use crate::vm::atoms;
use crate::vm::error::Error;
use rustler::{Encoder, Env, ResourceArc, Term};

/// Runs the destructor; a handle that was dropped before, or moved, is left alone.
#[rustler::nif]
fn component_resource_drop<'a>(
    env: Env<'a>,
    handle: ResourceArc<HandleResource>,
    via: Via,
) -> Term<'a> {
    if !handle.is_alive() {
        return (atoms::ok(), atoms::nil()).encode(env);
    }
    if Components::of(&handle.cell).is_spent() {
        return Error::Spent.to_term(env);
    }
    let cell = handle.cell.clone();
    drive::begin(env, &cell, via, Job::task(Drop(handle), None))
}

#[rustler::nif]
fn component_resource_store(handle: ResourceArc<HandleResource>) -> ResourceArc<StoreCell> {
    handle.cell.clone()
}

/// `{instance, interface, name}`; nil when the resource is of none that an instance exports.
#[rustler::nif]
fn component_resource_origin<'a>(env: Env<'a>, handle: ResourceArc<HandleResource>) -> Term<'a> {
    let origin = handle.instance.as_ref().and_then(|instance| {
        let (interface, name) = instance.resource(handle.ty)?;
        Some((instance.clone(), interface, name))
    });
    origin.encode(env)
}

#[rustler::nif]
fn component_resource_alive(handle: ResourceArc<HandleResource>) -> bool {
    handle.is_alive()
}

pub fn register(env: Env) -> bool {
    env.register::<ComponentResource>().is_ok()
        && env.register::<ComponentInstance>().is_ok()
        && env.register::<super::linker::ComponentTemplate>().is_ok()
        && env.register::<HandleResource>().is_ok()
}
