//! Values whose types are known at run time, as wasmtime's typed functions take them.
//!
//! wasmtime's own dynamic values are a Rust enum per value: a list of a million bytes is a million of
//! them. Its typed functions convert straight between the guest's memory and a Rust type; these types
//! do that for terms, by the type that wasmtime passes along. What wasmtime asks of such a type
//! (`ComponentType` says it) is kept thus: `Lower` is an array of `ValRaw`, as long as the most that
//! ever travels where its length matters; sizes and alignments are taken from the component's type
//! and never from the constants, which say "nothing".

use crate::component::internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use crate::component::lift::Lifter;
use crate::component::lower::decode::Decoder;
use crate::component::lower::image::Image;
use crate::component::lower::place;
use crate::component::mapping::Mapping;
use crate::component::problem::{BadValue, Checked, Step};
use crate::component::resource::handle::{self, HandleResource};
use crate::component::signature::{Resources, TypeList};
use crate::component::state::Components;
use crate::component::types::shape::Shape;
use crate::component::types::shared::Shared;
use crate::guest::handoff;
use crate::guest::suspension::ImportRaised;
use crate::vm::env;
use crate::vm::term_box::TermBox;
use rustler::sys::ErlNifTerm;
use rustler::{Env, ResourceArc, Term};
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw};

const NOTHING: CanonicalAbiInfo = CanonicalAbiInfo {
    size32: 0,
    align32: 1,
    size64: 0,
    align64: 1,
    flat_count: Some(0),
};

thread_local! {
    /// What the type checks that wasmtime makes on this thread come across.
    static CHECKED: RefCell<Vec<TypeList>> = const { RefCell::new(Vec::new()) };
}

fn check(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
    let shared = Shared::find(types.types)?;
    let shape = shared.shape(*ty)?;
    let mut tables = Vec::new();
    shape.resources(&mut tables);
    let resources = tables
        .into_iter()
        .map(|table| {
            let ty = types.resource_type(table);
            (table, (ty, shared.implemented(ty)))
        })
        .collect();
    CHECKED.with_borrow_mut(|lists| lists.push(TypeList { shape, resources }));
    Ok(())
}

/// The parameters and results that wasmtime checks while `run` runs.
pub fn checked(run: impl FnOnce() -> Result<()>) -> Result<(TypeList, TypeList)> {
    CHECKED.with_borrow_mut(Vec::clear);
    run()?;
    let lists = CHECKED.take();
    let [params, results]: [TypeList; 2] = lists
        .try_into()
        .map_err(|_| wasmtime::Error::msg("a function has no parameters or results to check"))?;
    Ok((params, results))
}

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

/// Arguments of an imported function, a list of terms of the NIF that polls.
pub struct Params<const MAPPING: u32> {
    /// A list of terms of the NIF that polls.
    pub params: ErlNifTerm,
    /// Lent for the time of the call.
    pub borrowed: Vec<ResourceArc<HandleResource>>,
}

// SAFETY: `Lower` is empty and so never too long for what wasmtime has; how many values there are is
// taken from the type, by which wasmtime has made them.
unsafe impl<const MAPPING: u32> ComponentType for Params<MAPPING> {
    type Lower = [ValRaw; 0];
    const ABI: CanonicalAbiInfo = NOTHING;

    /// Any type will do: it is looked at when a value comes.
    fn typecheck(_ty: &InterfaceType, _types: &InstanceType<'_>) -> Result<()> {
        Ok(())
    }
}

// SAFETY: as for `Args`.
unsafe impl<const MAPPING: u32> ComponentNamedList for Params<MAPPING> {}

impl<const MAPPING: u32> Params<MAPPING> {
    fn lift(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        lift: impl for<'l, 'c, 'e> FnOnce(&mut Lifter<'l, 'c, 'e>, &Shape) -> Result<Term<'e>>,
    ) -> Result<Self> {
        let shape = Shared::shape_of(cx.types, ty)?;
        env::in_env(|env| {
            let mut lifter = Lifter::new(cx, env, Mapping::of(MAPPING));
            let params = lift(&mut lifter, &shape)?.as_c_arg();
            Ok(Params {
                params,
                borrowed: lifter.borrowed,
            })
        })
        .ok_or(ImportRaised {})?
    }
}

// SAFETY: see `ComponentType` above.
unsafe impl<const MAPPING: u32> Lift for Params<MAPPING> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &Self::Lower,
    ) -> Result<Self> {
        let first: *const ValRaw = src.as_ptr();
        Params::lift(cx, ty, |lifter, shape| {
            let count = shape.flat.unwrap_or(0);
            // SAFETY: wasmtime takes this way when the parameters are as many values, and `first` is
            // where it put them.
            let values = unsafe { std::slice::from_raw_parts(first, count) };
            lifter.flat_list(shape, values)
        })
    }

    /// `bytes` is empty but lies where the parameters do, which wasmtime found in bounds.
    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> Result<Self> {
        let at = bytes.as_ptr() as usize - cx.memory().as_ptr() as usize;
        Params::lift(cx, ty, |lifter, shape| lifter.list_at(shape, at as u32))
    }
}

/// The result of an imported function, a term of the NIF that polls.
pub struct Returned {
    /// A term of the NIF that polls.
    pub term: ErlNifTerm,
    /// How the function's values look in Elixir.
    pub mapping: Mapping,
}

// SAFETY: as for `Params`; at most one value is written, where the type says that there is one.
unsafe impl ComponentType for Returned {
    type Lower = [ValRaw; 0];
    const ABI: CanonicalAbiInfo = NOTHING;

    fn typecheck(_ty: &InterfaceType, _types: &InstanceType<'_>) -> Result<()> {
        Ok(())
    }
}

// SAFETY: as for `Args`.
unsafe impl ComponentNamedList for Returned {}

impl Returned {
    fn image<T>(&self, cx: &LowerContext<'_, T>, ty: InterfaceType) -> Result<(Image, Arc<Shape>)> {
        let types = cx.instance_type().types;
        let shape = Shared::shape_of(types, ty)?;
        let mut tables = Vec::new();
        shape.resources(&mut tables);
        let mut resources = Resources::new();
        for table in tables {
            let ty = cx.resource_type(table);
            resources.insert(table, (ty, Shared::find(types)?.implemented(ty)));
        }
        let cell = handoff::current_cell().ok_or(ImportRaised {})?;
        let image = env::in_env(|env| {
            let mut decoder = Decoder::new(shape.size, self.mapping, &resources, cell.id);
            if let [item] = shape.items() {
                // SAFETY: it came with the NIF that polls right now.
                let term = unsafe { env::term(env, self.term) };
                decoder
                    .value(term, &item.shape, 0, item.offset)
                    .map_err(|problem| problem.at(Step::Result))?;
            }
            commit(decoder.image, || Components::of(&cell))
        })
        .ok_or(ImportRaised {})?
        .map_err(BadValue)?;
        Ok((image, shape))
    }
}

/// The last step of decoding, which nothing can undo: handles are moved, terms become resources.
pub fn commit(mut image: Image, components: impl FnOnce() -> Arc<Components>) -> Checked<Image> {
    handle::resolve(&mut image.handles)?;
    if !image.hosted.is_empty() {
        let components = components();
        for hosted in &mut image.hosted {
            if let Some(term) = hosted.term.take() {
                hosted.rep = components.hosted.insert(term);
            }
        }
    }
    Ok(image)
}

// SAFETY: see `ComponentType` above.
unsafe impl Lower for Returned {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let (mut image, shape) = self.image(cx, ty)?;
        let count = shape.flat.unwrap_or(0).min(1);
        // SAFETY: wasmtime has room for the one value that the type has, or for none.
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
