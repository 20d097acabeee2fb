//! A `list<u8>` that stays in the guest's memory.
//!
//! wasmtime copies a list when it lifts it, and charges fuel for it. Its `WasmList` copies nothing, but costs as much.

use crate::component::internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext};
use crate::component::lift::source;
use wasmtime::Result;
use wasmtime::component::{ComponentType, Lift};

/// An argument of a host function.
pub struct GuestBytes(*const [u8]);

// SAFETY: the memory is only read by `get`, whose condition does not depend on the thread.
unsafe impl Send for GuestBytes {}
// SAFETY: as above.
unsafe impl Sync for GuestBytes {}

impl GuestBytes {
    fn new(cx: &LiftContext<'_>, at: u32, length: u32) -> Result<Self> {
        let bytes = source::slice(cx.memory(), at as usize, length as usize, 1)?;
        Ok(GuestBytes(bytes))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes.
    ///
    /// # Safety
    /// The host function they were passed to has not returned, and no guest of the store has run since it was called.
    pub unsafe fn get(&self) -> &[u8] {
        // SAFETY: by this function's own condition the memory has neither moved nor changed.
        unsafe { &*self.0 }
    }
}

// SAFETY: the same type, layout and checks as those of `[u8]`.
unsafe impl ComponentType for GuestBytes {
    type Lower = <[u8] as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <[u8] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[u8] as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: a list is a pointer and a length (canonical ABI, "load_list"), which are checked to be within the memory.
unsafe impl Lift for GuestBytes {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        _ty: InterfaceType,
        [at, length]: &Self::Lower,
    ) -> Result<Self> {
        GuestBytes::new(cx, at.get_u32(), length.get_u32())
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        _ty: InterfaceType,
        bytes: &[u8],
    ) -> Result<Self> {
        let (words, _) = bytes.as_chunks::<4>();
        match words {
            [at, length] => {
                GuestBytes::new(cx, u32::from_le_bytes(*at), u32::from_le_bytes(*length))
            }
            _ => Err(wasmtime::Error::msg("a list has a pointer and a length")),
        }
    }
}
