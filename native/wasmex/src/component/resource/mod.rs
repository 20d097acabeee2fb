//! Resources of guests and of Elixir, and the NIFs on their handles.

pub mod handle;
pub mod hosted;

use crate::component::compiled::ComponentResource;
use crate::component::instance::ComponentInstance;
use crate::component::resource::handle::HandleResource;
use crate::component::state::{Components, Underway};
use crate::component::template::ComponentTemplate;
use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::job::{Job, Running, Task};
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::resource::ResourceArc;
use rustler::sys::ErlNifTerm;
use rustler::{Encoder, Env, Term};
use wasmtime::{StoreContextMut, WasmBacktrace};

/// Runs the destructor. Does nothing if the handle was dropped or moved before.
#[rustler::nif]
fn component_resource_drop<'a>(
    env: Env<'a>,
    handle: ResourceArc<HandleResource>,
    via: Via,
) -> Term<'a> {
    if !handle.is_alive() {
        return (atoms::ok(), atoms::nil()).encode(env);
    }
    if let Err(error) = Components::of(&handle.cell).check() {
        return error.to_term(env);
    }
    let cell = handle.cell.clone();
    drive::begin(env, &cell, via, Job::task(DropResource(handle), None))
}

#[rustler::nif]
fn component_resource_store(handle: ResourceArc<HandleResource>) -> ResourceArc<StoreCell> {
    handle.cell.clone()
}

/// `{instance, interface, name}`; nil when no instance exports the resource.
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
    handle.is_alive() && !handle.cell.is_closed()
}

/// Runs the destructor of a resource.
struct DropResource(ResourceArc<HandleResource>);

impl Task for DropResource {
    fn run<'a>(self: Box<Self>, cx: StoreContextMut<'a, StoreData>) -> Running<'a> {
        Box::pin(drop_resource(self.0, cx))
    }
}

async fn drop_resource(
    handle: ResourceArc<HandleResource>,
    mut cx: StoreContextMut<'_, StoreData>,
) -> Result<ErlNifTerm> {
    if let Some(any) = handle.take() {
        let underway = handle.instance.as_ref().map(Underway::begin);
        match (any.resource_drop_async(&mut cx).await, underway) {
            (Ok(()), Some(underway)) => underway.end(),
            (Ok(()), None) => {}
            (Err(error), underway) => {
                // No guest code ran: the resource is borrowed by a call in progress.
                if error.downcast_ref::<WasmBacktrace>().is_none() {
                    handle.put_back(any);
                }
                if let Some(underway) = underway {
                    underway.end_if_outside(&error);
                }
                return Err(Error::Guest(error));
            }
        }
    }
    env::in_env(|env| atoms::nil().encode(env).as_c_arg()).ok_or(Error::Cancelled)
}

/// Registers the resource types of components with the VM.
pub fn register(env: Env) -> bool {
    crate::vm::resource::register::<ComponentResource>(env)
        && crate::vm::resource::register::<ComponentInstance>(env)
        && crate::vm::resource::register::<ComponentTemplate>(env)
        && crate::vm::resource::register::<HandleResource>(env)
}
