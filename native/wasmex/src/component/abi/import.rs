//! Arguments and results of functions that a guest imports from Elixir.

use super::{NOTHING, commit, items};
use crate::component::internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use crate::component::lift::deferred::{self, Deferred, Lifted, Terms, Values};
use crate::component::lower::decode::Decoder;
use crate::component::lower::image::Image;
use crate::component::lower::place;
use crate::component::mapping::Mapping;
use crate::component::problem::{BadValue, Problem, Step};
use crate::component::signature::Resources;
use crate::component::state::Components;
use crate::component::types::scalar::Scalar;
use crate::component::types::shape::Shape;
use crate::component::types::shared::Shared;
use crate::guest::handoff;
use crate::guest::suspension::ImportRaised;
use crate::vm::env;
use rustler::Term;
use rustler::sys::ErlNifTerm;
use std::mem::MaybeUninit;
use std::sync::Arc;
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw};

/// Arguments of an imported function.
pub struct Params<const MAPPING: u32>(pub Lifted);

// SAFETY: `Lower` is empty, so never longer than wasmtime's storage; the number of values comes from the type, which
// wasmtime used for its storage too.
unsafe impl<const MAPPING: u32> ComponentType for Params<MAPPING> {
    type Lower = [ValRaw; 0];
    const ABI: CanonicalAbiInfo = NOTHING;

    /// Accepts any type: it is checked when a value arrives.
    fn typecheck(_ty: &InterfaceType, _types: &InstanceType<'_>) -> Result<()> {
        Ok(())
    }
}

// SAFETY: a list of parameters or results is checked as a list.
unsafe impl<const MAPPING: u32> ComponentNamedList for Params<MAPPING> {}

impl<const MAPPING: u32> Params<MAPPING> {
    fn lift(cx: &mut LiftContext<'_>, shape: Arc<Shape>, values: Values) -> Result<Self> {
        deferred::lift(cx, Mapping::of(MAPPING), shape, values).map(Params)
    }

    /// Parameters that are one core value each.
    fn scalars(types: &[InterfaceType], values: &[ValRaw]) -> Result<Self> {
        let params = env::in_env(|env| {
            let mut list = Term::list_new_empty(env);
            for (ty, value) in types.iter().zip(values).rev() {
                if let Some(scalar) = Scalar::of(*ty) {
                    list = list.list_prepend(scalar.encode(env, value.get_u64())?);
                }
            }
            Ok::<_, wasmtime::Error>(list.as_c_arg())
        });
        Ok(Params(Lifted::Now(Terms {
            list: params.ok_or(ImportRaised {})??,
            borrowed: Vec::new(),
        })))
    }
}

/// Arguments that were put off, once the guest is suspended in the import.
pub async fn later(deferred: Box<Deferred>) -> Result<Terms> {
    handoff::elsewhere().await;
    // SAFETY: the guest has been suspended in its import since the values were put off.
    unsafe { deferred.lift() }
}

// SAFETY: see `ComponentType` above.
unsafe impl<const MAPPING: u32> Lift for Params<MAPPING> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &Self::Lower,
    ) -> Result<Self> {
        let first: *const ValRaw = src.as_ptr();
        let types = items(cx.types, ty);
        if types.iter().all(|ty| Scalar::of(*ty).is_some()) {
            // SAFETY: wasmtime put this many values where `first` is, one for each type.
            return Params::scalars(types, unsafe {
                std::slice::from_raw_parts(first, types.len())
            });
        }
        let shape = Shared::shape_of(cx.types, ty)?;
        let count = shape.flat.unwrap_or(0);
        // SAFETY: wasmtime takes this path when the parameters are this many values, and put them where `first` is.
        let values = unsafe { std::slice::from_raw_parts(first, count) };
        Params::lift(cx, shape, Values::Flat(values))
    }

    /// `bytes` is empty, but at the address of the parameters, which wasmtime has bounds-checked.
    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> Result<Self> {
        let at = bytes.as_ptr() as usize - cx.memory().as_ptr() as usize;
        let shape = Shared::shape_of(cx.types, ty)?;
        Params::lift(cx, shape, Values::At(at as u32))
    }
}

/// The result of an imported function, a term of the NIF that polls.
pub struct Returned {
    /// A term of the NIF that polls.
    pub term: ErlNifTerm,
    /// How the function's values look in Elixir.
    pub mapping: Mapping,
}

// SAFETY: as for `Params`; at most one value is written, and only if the type has one.
unsafe impl ComponentType for Returned {
    type Lower = [ValRaw; 0];
    const ABI: CanonicalAbiInfo = NOTHING;

    fn typecheck(_ty: &InterfaceType, _types: &InstanceType<'_>) -> Result<()> {
        Ok(())
    }
}

// SAFETY: a list of parameters or results is checked as one.
unsafe impl ComponentNamedList for Returned {}

impl Returned {
    /// As a core value, if its type is a scalar and the conversion is as simple as usual.
    fn scalar(&self, ty: InterfaceType) -> Option<u64> {
        let scalar = Scalar::of(ty)?;
        env::in_env(|env| {
            // SAFETY: it came with the NIF that is polling now.
            let term = unsafe { env::term(env, self.term) };
            scalar.decode(term, self.mapping.lenient)
        })
        .flatten()
    }

    fn image<T>(
        &self,
        cx: &LowerContext<'_, T>,
        ty: InterfaceType,
    ) -> Result<(Box<Image>, Arc<Shape>)> {
        let types = cx.instance_type().types;
        let shape = Shared::shape_of(types, ty)?;
        let mut tables = Vec::new();
        shape.resources(&mut tables);
        let mut resources = Vec::new();
        for table in tables {
            let ty = cx.resource_type(table);
            resources.push((table, (ty, Shared::find(types)?.implemented(ty))));
        }
        let resources: Resources = resources.into_iter().collect();
        let store = handoff::current_id().ok_or(ImportRaised {})?;
        let image = env::in_env(|env| {
            let mut decoder = Decoder::new(shape.size, self.mapping, &resources, store);
            if let [item] = shape.items() {
                // SAFETY: it came with the NIF that is polling now.
                let term = unsafe { env::term(env, self.term) };
                decoder
                    .value(term, &item.shape, 0, item.offset)
                    .map_err(|problem| problem.at(Step::Result))?;
            }
            commit(&mut decoder.image, || {
                handoff::current_cell().map(|cell| Components::of(&cell))
            })?;
            Ok::<_, Box<Problem>>(decoder.image)
        })
        .ok_or(ImportRaised {})?
        .map_err(BadValue)?;
        Ok((image, shape))
    }
}

// SAFETY: see `ComponentType` above.
unsafe impl Lower for Returned {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let types = items(cx.types, ty);
        if let [ty] = types
            && let Some(value) = self.scalar(*ty)
        {
            let slot = (&raw mut *dst).cast::<ValRaw>();
            // SAFETY: wasmtime provides storage for the one value of the type.
            unsafe { slot.write(ValRaw::u64(value)) };
            return Ok(());
        }
        let (mut image, shape) = self.image(cx, ty)?;
        let count = shape.flat.unwrap_or(0).min(1);
        // SAFETY: wasmtime provides storage for the one value of the type, if it has one.
        let slots = unsafe {
            std::slice::from_raw_parts_mut((&raw mut *dst).cast::<MaybeUninit<ValRaw>>(), count)
        };
        place::flat_result(&mut image, &shape, cx, slots)
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        let (mut image, _shape) = self.image(cx, ty)?;
        place::memory_result(&mut image, cx, offset)
    }
}
