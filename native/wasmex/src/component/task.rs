//! What a component is asked to do: be instantiated, call a function, drop a resource.

use super::abi::{self, Answer, Args};
use super::compiled::ComponentResource;
use super::decode::Decoder;
use super::handle::HandleResource;
use super::instance::{ComponentInstance, Signature};
use super::problem::{Problem, Step};
use super::state::{Components, Underway};
use super::style::Style;
use crate::guest::data::StoreData;
use crate::guest::handoff;
use crate::guest::job::{Running, Task};
use crate::guest::values;
use crate::vm::atoms;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::terms;
use rustler::sys::ErlNifTerm;
use rustler::{Encoder, ResourceArc, Term};
use std::sync::Arc;
use wasmtime::component::{InstancePre, TypedFunc};
use wasmtime::{StoreContextMut, WasmBacktrace};

/// Makes an instance.
pub struct Instantiate {
    pub template: InstancePre<StoreData>,
    pub component: ResourceArc<ComponentResource>,
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
    cx.data_mut().count_instance();
    let cell = handoff::current_cell().ok_or(Error::Cancelled)?;
    let components = Components::of(&cell);
    components.keep(&component);
    let underway = Underway::making(components);
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

/// Runs the destructor of a resource.
pub struct Drop(pub ResourceArc<HandleResource>);

impl Task for Drop {
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
                // No guest has seen it: it is lent to a call that is under way.
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

/// Resources whose handles Elixir has lost.
async fn drop_doomed(
    instance: &ResourceArc<ComponentInstance>,
    cx: &mut StoreContextMut<'_, StoreData>,
) -> Result<()> {
    for any in instance.components.take_doomed() {
        let underway = Underway::begin(instance);
        any.resource_drop_async(&mut *cx)
            .await
            .map_err(Error::Guest)?;
        underway.end();
    }
    Ok(())
}

/// Calls a function.
pub struct Call {
    pub instance: ResourceArc<ComponentInstance>,
    pub signature: Arc<Signature>,
    /// A list of terms of the NIF that begins the call.
    pub params: ErlNifTerm,
    pub style: Style,
}

impl Task for Call {
    fn run<'a>(self: Box<Self>, cx: StoreContextMut<'a, StoreData>) -> Running<'a> {
        Box::pin(self.begin(cx))
    }
}

impl Call {
    /// Its state is small: nothing that only other tasks need is part of it.
    async fn begin(self: Box<Self>, mut cx: StoreContextMut<'_, StoreData>) -> Result<ErlNifTerm> {
        // Before anything that may take longer than the terms live.
        let (args, lent) = self.args()?;
        if self.instance.components.has_doomed() {
            Box::pin(drop_doomed(&self.instance, &mut cx)).await?;
        }
        self.dispatch(args, lent, cx).await
    }

    fn args(&self) -> Result<(Args, Vec<u32>)> {
        env::in_env(|env| {
            // SAFETY: it came with the NIF that is polling for the first time right now.
            let list = unsafe { env::term(env, self.params) };
            self.decode(list)
        })
        .unwrap_or(Err(Error::Cancelled))
    }

    fn decode(&self, list: Term) -> Result<(Args, Vec<u32>)> {
        let shape = &self.signature.params.shape;
        let expected = shape.items().len();
        let given = values::count(list)?;
        if given < expected || (given > expected && (self.style.exact || !self.style.lenient)) {
            return Err(Error::Arity { expected, given });
        }
        let cell = &self.instance.cell;
        let resources = &self.signature.params.resources;
        let mut decoder = Decoder::new(shape.size, self.style, resources, cell.id);
        let terms = terms::list(list).into_iter().flat_map(|(terms, _)| terms);
        for (index, (term, item)) in terms.zip(shape.items()).enumerate() {
            decoder
                .value(term, &item.shape, 0, item.offset)
                .map_err(|problem| self.wrong(problem, index))?;
        }
        let image = abi::settle(decoder.image, &self.instance.components.hosted);
        let image = image.map_err(Error::Conversion)?;
        let lent = image.lent();
        Ok((Args::new(image, shape.clone()), lent))
    }

    fn wrong(&self, problem: Box<Problem>, index: usize) -> Error {
        let name = self.signature.param(index).into();
        Error::Conversion(problem.at(Step::Param(index, name)))
    }

    async fn dispatch(
        self: Box<Self>,
        args: Args,
        lent: Vec<u32>,
        cx: StoreContextMut<'_, StoreData>,
    ) -> Result<ErlNifTerm> {
        match self.style.outward() {
            0 => self.styled::<0>(args, lent, cx).await,
            1 => self.styled::<1>(args, lent, cx).await,
            2 => self.styled::<2>(args, lent, cx).await,
            _ => self.styled::<3>(args, lent, cx).await,
        }
    }

    async fn styled<const STYLE: u32>(
        self: Box<Self>,
        args: Args,
        lent: Vec<u32>,
        cx: StoreContextMut<'_, StoreData>,
    ) -> Result<ErlNifTerm> {
        let underway = Underway::begin(&self.instance);
        // SAFETY: these types take any function; what they convert is what its own type says.
        let func = unsafe { TypedFunc::<Args, Answer<STYLE>>::new_unchecked(self.signature.func) };
        let answer = func.call_async(cx, args).await.map_err(Error::Guest)?;
        underway.end();
        for rep in lent {
            self.instance.components.hosted.remove(rep);
        }
        env::in_env(|env| answer.term(env).as_c_arg()).ok_or(Error::Cancelled)
    }
}
