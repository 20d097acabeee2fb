//! Arguments and environment variables. wasmtime copies all of them: many are copied, passed to the guest and freed on a
//! dirty scheduler.

use crate::component::internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext};
use crate::guest::data::StoreData;
use crate::vm::long::Elsewhere;
use crate::wasi::context::View;
use crate::wasi::sockets::environment::elsewhere;
use std::mem::MaybeUninit;
use std::sync::Mutex;
use wasmtime::component::{ComponentType, Linker, Lower};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::cli::{WasiCliCtxView, WasiCliView};
use wasmtime_wasi::p2::bindings::cli::environment::Host;

/// The linker must allow shadowing.
pub fn add_to_linker(linker: &mut Linker<StoreData>) -> Result<()> {
    let mut environment = linker.instance("wasi:cli/environment@0.2.12")?;
    environment.func_wrap_async("get-environment", |cx, ()| {
        Box::new(copy(cx, |mut cli| cli.get_environment()))
    })?;
    environment.func_wrap_async("get-arguments", |cx, ()| {
        Box::new(copy(cx, |mut cli| cli.get_arguments()))
    })
}

async fn copy<L>(
    mut cx: StoreContextMut<'_, StoreData>,
    copy: fn(WasiCliCtxView<'_>) -> Result<L>,
) -> Result<(Copied<L>,)> {
    let elsewhere = elsewhere(cx.data_mut().p1().has_large_environment).await;
    let list = copy(cx.data_mut().cli())?;
    Ok((Copied(list, Mutex::new(elsewhere)),))
}

/// A list, which is dropped before the guest may return to a normal scheduler.
struct Copied<L>(
    L,
    #[expect(dead_code, reason = "dropped when the list is in the guest's memory")]
    Mutex<Option<Elsewhere>>,
);

// SAFETY: the same type and layout as those of the list.
unsafe impl<L: ComponentType> ComponentType for Copied<L> {
    type Lower = L::Lower;
    const ABI: CanonicalAbiInfo = L::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        L::typecheck(ty, types)
    }
}

// SAFETY: lowered as the list is.
unsafe impl<L: Lower> Lower for Copied<L> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        self.0.linear_lower_to_flat(cx, ty, dst)
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        self.0.linear_lower_to_memory(cx, ty, offset)
    }
}
