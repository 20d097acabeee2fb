//! A store's WASI context, created when a guest first calls WASI.

use crate::vm::slots::Slots;
use crate::wasi::p1::WasiSpec;
use crate::wasi::p2::state::P2;
use crate::wasi::sockets::descriptors::Descriptors;
use crate::wasi::sockets::net::Net;
use crate::wasi::sockets::state::{Interfaces, P1};
use wasmtime::Result;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;

/// A store's data, as host modules access it.
pub trait View: Send + 'static {
    /// The WASI context.
    fn wasi_context(&self) -> &Context;
    /// The WASI context, mutably.
    fn wasi_context_mut(&mut self) -> &mut Context;
    /// Other values attached to the store.
    fn slots(&mut self) -> &mut Slots;

    /// wasmtime's context for preview 1.
    fn wasi(&mut self) -> &mut WasiP1Ctx {
        &mut self.p1().ctx
    }

    /// The same with its sockets.
    fn p1(&mut self) -> &mut P1 {
        self.wasi_context_mut().get().0
    }

    /// The same for a call of a host function.
    fn p1_for_call(&mut self) -> &mut P1 {
        let context = self.wasi_context_mut();
        let fuel = context.fuel;
        let (p1, _) = context.get();
        p1.ctx.set_hostcall_fuel(fuel);
        p1
    }

    /// wasmtime's context with the additions for components.
    fn wasi_and_p2(&mut self) -> (&mut WasiP1Ctx, &mut P2) {
        let (p1, p2) = self.wasi_context_mut().get();
        (&mut p1.ctx, p2)
    }
}

/// Created at the guest's first WASI call: many guests make none, and it costs more than an instance.
pub struct Context {
    /// The data that a call of a function of preview 1 may pass.
    pub fuel: usize,
    granted: bool,
    sockets: Interfaces,
    spec: Option<WasiSpec>,
    /// `P2` is dropped first: it aborts transfers, which handles in the table would only release.
    made: Option<Box<(P2, P1)>>,
}

/// The default of [`Context::fuel`].
pub const FUEL: usize = 128 << 20;

impl Context {
    /// Grants nothing.
    pub fn nothing() -> Self {
        Context {
            fuel: FUEL,
            granted: false,
            sockets: Interfaces::None,
            spec: None,
            made: None,
        }
    }

    /// With `None` the store grants nothing. Directories and listeners are opened now, so that the function that names
    /// them reports errors; large options are read now, since the store is made on a dirty scheduler.
    pub fn new(spec: Option<WasiSpec>) -> Result<Self> {
        let mut context = Context {
            fuel: FUEL,
            granted: spec.is_some(),
            sockets: spec.as_ref().map_or(Interfaces::None, |spec| spec.sockets),
            spec,
            made: None,
        };
        if context.spec.as_ref().is_some_and(WasiSpec::is_made_now) {
            context.make()?;
        }
        Ok(context)
    }

    /// Whether the store was made with WASI.
    pub fn is_granted(&self) -> bool {
        self.granted
    }

    /// The socket interfaces that its guests may import.
    pub fn sockets(&self) -> Interfaces {
        self.sockets
    }

    fn get(&mut self) -> (&mut P1, &mut P2) {
        if self.made.is_none() && self.make().is_err() {
            self.made = None;
        }
        let (p2, p1) = &mut **self.made.get_or_insert_with(|| Box::new(nothing()));
        (p1, p2)
    }

    fn make(&mut self) -> Result<()> {
        let context = match self.spec.take() {
            Some(spec) => spec.build()?,
            None => nothing(),
        };
        self.made = Some(Box::new(context));
        Ok(())
    }
}

/// A context that grants nothing.
fn nothing() -> (P2, P1) {
    let p2 = P2::default();
    let p1 = P1 {
        ctx: WasiCtxBuilder::new().build_p1(),
        descriptors: Descriptors::new(0, 0),
        net: Net::new(p2.reach.clone(), 0),
        has_large_environment: false,
        #[cfg(unix)]
        listings: Default::default(),
        standard: [0; 3],
    };
    (p2, p1)
}
