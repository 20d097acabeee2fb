//! Arguments and environment variables. wasmtime copies all of them for each of these functions: many are copied on a
//! dirty scheduler.

use crate::vm::long::{self, Elsewhere};
use crate::wasi::calls;
use crate::wasi::sockets::state::P1;
use wasmtime::Result;
use wiggle::GuestMemory;

/// Moves to a dirty scheduler if there are many.
pub async fn elsewhere(are_many: bool) -> Option<Elsewhere> {
    match are_many {
        true => long::elsewhere().await,
        false => None,
    }
}

macro_rules! copied {
    ($($name:ident)*) => {
        $(
            /// See wasi_snapshot_preview1.witx.
            pub async fn $name(p1: &mut P1, memory: &mut GuestMemory<'_>, a: i32, b: i32) -> Result<i32> {
                let _elsewhere = elsewhere(p1.has_large_environment).await;
                calls::$name(&mut p1.ctx, memory, a, b)
            }
        )*
    };
}

copied! { args_get args_sizes_get environ_get environ_sizes_get }
