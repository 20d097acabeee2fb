//! Arguments and results of functions that a guest exports.

use super::{NOTHING, check};
use crate::component::internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use crate::component::lift::Lifter;
use crate::component::lower::image::Image;
use crate::component::lower::place;
use crate::component::mapping::Mapping;
use crate::component::types::shape::Shape;
use crate::component::types::shared::Shared;
use crate::guest::suspension::ImportRaised;
use crate::vm::env;
use crate::vm::term_box::TermBox;
use rustler::sys::ErlNifTerm;
use rustler::{Env, Term};
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw};

/// Arguments of a guest's function.
pub struct Args {
    image: Mutex<Option<Image>>,
    shape: Arc<Shape>,
}

impl Args {
    /// Lowered once, by the call that they are made for.
    pub fn new(image: Image, shape: Arc<Shape>) -> Self {
        Args {
            image: Mutex::new(Some(image)),
            shape,
        }
    }
}

fn take(image: &Mutex<Option<Image>>) -> Result<Image> {
    image
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
        .ok_or_else(|| wasmtime::Error::msg("arguments were lowered twice"))
}

// SAFETY: `Lower` has room for as many values as ever travel on the stack; `place::arguments` writes
// those that the function's own type says, for it was made for this very function.
unsafe impl ComponentType for Args {
    type Lower = [ValRaw; place::MAX_FLAT_PARAMS];
    const ABI: CanonicalAbiInfo = NOTHING;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        check(ty, types)
    }
}

// SAFETY: a list of parameters is checked as one.
unsafe impl ComponentNamedList for Args {}

// SAFETY: see `ComponentType` above.
unsafe impl Lower for Args {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let mut image = take(&self.image)?;
        // SAFETY: an array of `ValRaw` that is yet to be written is an array of such.
        let slots = unsafe {
            &mut *(&raw mut *dst).cast::<[MaybeUninit<ValRaw>; place::MAX_FLAT_PARAMS]>()
        };
        place::arguments(&mut image, &self.shape, cx, slots)
    }

    /// Never asked for: the flat form of these arguments is a pointer when they need memory.
    fn linear_lower_to_memory<T>(
        &self,
        _cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        _offset: usize,
    ) -> Result<()> {
        Err(wasmtime::Error::msg("arguments are lowered flat"))
    }
}

/// The results of a guest's function, a list of at most one term.
pub struct Results<const MAPPING: u32>(Lifted);

enum Lifted {
    /// A term of the NIF that polls.
    Here(ErlNifTerm),
    /// The guest's `post-return` has yet to run, and may take more than this poll.
    Kept(TermBox),
}

impl<const MAPPING: u32> Results<MAPPING> {
    /// As a term of this environment.
    pub fn term(self, env: Env<'_>) -> Term<'_> {
        match self.0 {
            // SAFETY: made by the poll under way, for nothing of the guest ran since.
            Lifted::Here(term) => unsafe { env::term(env, term) },
            Lifted::Kept(term) => term.get(env),
        }
    }
}

// SAFETY: one value is what travels on the stack at most: a result, or the pointer to it.
unsafe impl<const MAPPING: u32> ComponentType for Results<MAPPING> {
    type Lower = [ValRaw; 1];
    const ABI: CanonicalAbiInfo = NOTHING;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        check(ty, types)
    }
}

// SAFETY: as for `Args`.
unsafe impl<const MAPPING: u32> ComponentNamedList for Results<MAPPING> {}

// SAFETY: see `ComponentType` above.
unsafe impl<const MAPPING: u32> Lift for Results<MAPPING> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &Self::Lower,
    ) -> Result<Self> {
        let shape = Shared::shape_of(cx.types, ty)?;
        let stays = cx.options().post_return.is_none();
        if stays {
            let term = env::in_env(|env| {
                lift_result(cx, env, Mapping::of(MAPPING), &shape, src).map(|term| term.as_c_arg())
            });
            return Ok(Results(Lifted::Here(term.ok_or(ImportRaised {})??)));
        }
        let mut failed = None;
        let mapping = Mapping::of(MAPPING);
        let kept = TermBox::build(|env| match lift_result(cx, env, mapping, &shape, src) {
            Ok(term) => term,
            Err(error) => {
                failed = Some(error);
                rustler::types::atom::nil().to_term(env)
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(Results(Lifted::Kept(kept))),
        }
    }

    fn linear_lift_from_memory(
        _cx: &mut LiftContext<'_>,
        _ty: InterfaceType,
        _bytes: &[u8],
    ) -> Result<Self> {
        Err(wasmtime::Error::msg("results are lifted flat"))
    }
}

fn lift_result<'e>(
    cx: &mut LiftContext<'_>,
    env: Env<'e>,
    mapping: Mapping,
    shape: &Shape,
    src: &[ValRaw; 1],
) -> Result<Term<'e>> {
    let mut lifter = Lifter::new(cx, env, mapping);
    match shape.flat {
        Some(count) if count <= 1 => lifter.flat_list(shape, &src[..count]),
        _ => lifter.list_at(shape, src[0].get_u32()),
    }
}
