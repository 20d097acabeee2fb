//! Arguments and results of functions that a guest exports.

use super::{NOTHING, check};
use crate::component::internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use crate::component::lift::deferred::{self, Deferred, Lifted, Values};
use crate::component::lower::image::Image;
use crate::component::lower::place;
use crate::component::mapping::Mapping;
use crate::component::signature::MAX_FLAT;
use crate::component::types::shape::Shape;
use crate::component::types::shared::Shared;
use crate::guest::handoff;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower, ResourceAny};
use wasmtime::{Result, ValRaw};

/// Arguments of an exported function, in the state of its call.
#[derive(Default)]
pub struct Args {
    /// All of them, if they are one core value each.
    pub flat: FlatArgs,
    /// Whether they are.
    pub is_flat: bool,
    /// Others, lowered once.
    image: AtomicPtr<Image>,
    /// Terms that are resources for the duration of the call, by index.
    pub lent: Vec<u32>,
}

/// Arguments that are one core value each.
#[derive(Default)]
pub struct FlatArgs {
    /// A handle, before the others.
    pub receiver: Option<(ResourceAny, InterfaceType)>,
    /// The scalars,
    pub values: [u64; MAX_FLAT],
    /// and how many there are.
    pub count: usize,
}

impl FlatArgs {
    fn lower<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        slots: &mut [MaybeUninit<ValRaw>],
    ) -> Result<()> {
        let mut slots = slots.iter_mut();
        if let Some((any, ty)) = &self.receiver
            && let Some(slot) = slots.next()
        {
            slot.write(ValRaw::u32(place::lower_index(any, cx, *ty)?));
        }
        for (slot, value) in slots.zip(&self.values[..self.count]) {
            slot.write(ValRaw::u64(*value));
        }
        Ok(())
    }
}

impl Args {
    /// Sets the values.
    pub fn set(&mut self, image: Box<Image>) {
        self.lent = image.lent();
        *self.image.get_mut() = Box::into_raw(image);
    }

    /// Relaxed, since a call's polls are in order.
    fn take(&self) -> Option<Box<Image>> {
        let image = self.image.load(Ordering::Relaxed);
        self.image.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: boxed, see `set`; only the thread that polls the call takes it, and nobody does so again.
        (!image.is_null()).then(|| unsafe { Box::from_raw(image) })
    }
}

impl Drop for Args {
    fn drop(&mut self) {
        self.take();
    }
}

/// Arguments by reference, and their types: wasmtime moves its arguments several times.
pub struct Lent<'a>(pub &'a Args, pub &'a Shape);

// SAFETY: `Lower` has room for the most values that can be passed on the stack; `linear_lower_to_flat` writes as many as
// the function's type requires, and it was made for this function.
unsafe impl ComponentType for Lent<'_> {
    type Lower = [ValRaw; place::MAX_FLAT_PARAMS];
    const ABI: CanonicalAbiInfo = NOTHING;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        check(ty, types)
    }
}

// SAFETY: a parameter list is checked as a list.
unsafe impl ComponentNamedList for Lent<'_> {}

// SAFETY: see `ComponentType` above.
unsafe impl Lower for Lent<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        // SAFETY: an array of uninitialised `ValRaw` is a valid value of this type.
        let slots = unsafe {
            &mut *(&raw mut *dst).cast::<[MaybeUninit<ValRaw>; place::MAX_FLAT_PARAMS]>()
        };
        if self.0.is_flat {
            return self.0.flat.lower(cx, slots);
        }
        let image = self.0.take();
        let mut image =
            image.ok_or_else(|| wasmtime::Error::msg("arguments were lowered twice"))?;
        place::arguments(&mut image, self.1, cx, slots)
    }

    /// Unreachable: if these arguments need memory, their flat form is a pointer.
    fn linear_lower_to_memory<T>(
        &self,
        _cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        _offset: usize,
    ) -> Result<()> {
        Err(wasmtime::Error::msg("arguments are lowered flat"))
    }
}

/// The result of an exported function that is one core value, or of one without a result, if `COUNT` is 0.
pub struct FlatResult<const COUNT: usize>(pub u64);

// SAFETY: `Lower` is one value or none, as the function's type requires: this was made for this function.
unsafe impl<const COUNT: usize> ComponentType for FlatResult<COUNT> {
    type Lower = [ValRaw; COUNT];
    const ABI: CanonicalAbiInfo = NOTHING;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        check(ty, types)
    }
}

// SAFETY: as for `Lent`.
unsafe impl<const COUNT: usize> ComponentNamedList for FlatResult<COUNT> {}

// SAFETY: see `ComponentType` above.
unsafe impl<const COUNT: usize> Lift for FlatResult<COUNT> {
    fn linear_lift_from_flat(
        _cx: &mut LiftContext<'_>,
        _ty: InterfaceType,
        src: &Self::Lower,
    ) -> Result<Self> {
        Ok(FlatResult(src.first().map_or(0, ValRaw::get_u64)))
    }

    fn linear_lift_from_memory(
        _cx: &mut LiftContext<'_>,
        _ty: InterfaceType,
        _bytes: &[u8],
    ) -> Result<Self> {
        Err(wasmtime::Error::msg("results are lifted flat"))
    }
}

/// The results of an exported function, a list of at most one term: see [`handoff::leave_result`].
pub struct Results<const MAPPING: u32>;

// SAFETY: at most one value is passed on the stack: a result, or a pointer to it.
unsafe impl<const MAPPING: u32> ComponentType for Results<MAPPING> {
    type Lower = [ValRaw; 1];
    const ABI: CanonicalAbiInfo = NOTHING;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        check(ty, types)
    }
}

// SAFETY: as for `Lent`.
unsafe impl<const MAPPING: u32> ComponentNamedList for Results<MAPPING> {}

// SAFETY: see `ComponentType` above.
unsafe impl<const MAPPING: u32> Lift for Results<MAPPING> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &Self::Lower,
    ) -> Result<Self> {
        let shape = Shared::shape_of(cx.types, ty)?;
        let values = match shape.flat {
            Some(count) if count <= 1 => Values::Flat(&src[..count]),
            _ => Values::At(src[0].get_u32()),
        };
        match deferred::lift(cx, Mapping::of(MAPPING), shape, values)? {
            Lifted::Now(terms) => handoff::leave_result(terms.list),
            Lifted::Later(deferred) => handoff::put_off_result(Box::pin(later(deferred))),
        }
        Ok(Results)
    }

    fn linear_lift_from_memory(
        _cx: &mut LiftContext<'_>,
        _ty: InterfaceType,
        _bytes: &[u8],
    ) -> Result<Self> {
        Err(wasmtime::Error::msg("results are lifted flat"))
    }
}

/// Awaited where the guest enters `post-return`, or after its function if it has none.
async fn later(deferred: Box<Deferred>) {
    handoff::elsewhere().await;
    // SAFETY: the guest is suspended until this returns. It has not run since the values were put off, because it is
    // suspended before its next instruction; at the end of a poll in which it is not, the handoff drops this.
    match unsafe { deferred.lift() } {
        Ok(terms) => handoff::leave_result(terms.list),
        Err(error) => handoff::leave_failure(error),
    }
}
