//! Random bytes, generated where the guest wants them.
//!
//! A guest may ask for any number of bytes. wasmtime generates them one by one, and copies them to the guest, which
//! may not even have room for them; here the guest's allocator decides first.

use crate::component::internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext};
use crate::guest::data::StoreData;
use crate::vm::long::{self, Elsewhere};
use crate::wasi::context::View;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::mem::MaybeUninit;
use std::sync::Mutex;
use wasmtime::component::{ComponentType, Linker, Lower};
use wasmtime::{Result, StoreContextMut, ValRaw};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::random::{insecure, random};
use wasmtime_wasi::random::WasiRandomCtx;

/// Up to this number wasmtime generates them.
const FEW: u64 = 4096;

/// Above this number they are generated on a dirty scheduler.
const MANY: u64 = 1 << 20;

/// The linker must allow shadowing.
pub fn add_to_linker(linker: &mut Linker<StoreData>) -> Result<()> {
    let mut secure = linker.instance("wasi:random/random@0.2.12")?;
    secure.func_wrap_async("get-random-bytes", |cx, (length,)| {
        Box::new(generate(cx, length, random::Host::get_random_bytes))
    })?;
    let mut other = linker.instance("wasi:random/insecure@0.2.12")?;
    other.func_wrap_async("get-insecure-random-bytes", |cx, (length,)| {
        Box::new(generate(
            cx,
            length,
            insecure::Host::get_insecure_random_bytes,
        ))
    })
}

async fn generate(
    mut cx: StoreContextMut<'_, StoreData>,
    length: u64,
    few: fn(&mut WasiRandomCtx, u64) -> Result<Vec<u8>>,
) -> Result<(Random,)> {
    let elsewhere = match length > MANY {
        true => long::elsewhere().await,
        false => None,
    };
    let context = cx.data_mut().wasi().ctx().ctx.random();
    if length <= FEW {
        return Ok((Random::Few(few(context, length)?),));
    }
    let mut seed = <StdRng as SeedableRng>::Seed::default();
    let bytes = few(context, seed.len() as u64)?;
    seed.copy_from_slice(&bytes);
    let length = usize::try_from(length)?;
    Ok((Random::Many(seed, length, Mutex::new(elsewhere)),))
}

/// Random bytes, as a `list<u8>`.
enum Random {
    Few(Vec<u8>),
    /// From a generator with this seed.
    Many(
        <StdRng as SeedableRng>::Seed,
        usize,
        #[expect(dead_code, reason = "dropped when the bytes are in the guest's memory")]
        Mutex<Option<Elsewhere>>,
    ),
}

impl Random {
    fn place<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        seed: <StdRng as SeedableRng>::Seed,
        length: usize,
    ) -> Result<[u32; 2]> {
        let at = cx.realloc(0, 0, 1, length)?;
        StdRng::from_seed(seed).fill_bytes(&mut cx.as_slice_mut()[at..][..length]);
        Ok([u32::try_from(at)?, u32::try_from(length)?])
    }
}

// SAFETY: the same type and layout as those of `[u8]`.
unsafe impl ComponentType for Random {
    type Lower = <[u8] as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <[u8] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[u8] as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: a list is a pointer and a length (canonical ABI, "store_list"); both are written.
unsafe impl Lower for Random {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        match self {
            Random::Few(bytes) => bytes.linear_lower_to_flat(cx, ty, dst),
            Random::Many(seed, length, _) => {
                let pair = self.place(cx, *seed, *length)?;
                dst.write(pair.map(ValRaw::u32));
                Ok(())
            }
        }
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        match self {
            Random::Few(bytes) => bytes.linear_lower_to_memory(cx, ty, offset),
            Random::Many(seed, length, _) => {
                let [at, length] = self.place(cx, *seed, *length)?;
                *cx.get(offset) = at.to_le_bytes();
                *cx.get(offset + 4) = length.to_le_bytes();
                Ok(())
            }
        }
    }
}
