//! What a store has of WASI: the context behind the functions, made when a guest first calls one.

use crate::vm::slots::Slots;
use crate::wasi::p1::WasiSpec;
use crate::wasi::p2::P2;
use wasmtime::Result;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;

/// The data of a store, as host modules see it.
pub trait View: Send + 'static {
    /// What the store has of WASI.
    fn wasi_context(&self) -> &Context;
    /// The same, to be used.
    fn wasi_context_mut(&mut self) -> &mut Context;
    /// What else is attached to the store.
    fn slots(&mut self) -> &mut Slots;

    /// The context of preview 1.
    fn wasi(&mut self) -> &mut WasiP1Ctx {
        self.wasi_and_p2().0
    }

    /// The same with what components have besides.
    fn wasi_and_p2(&mut self) -> (&mut WasiP1Ctx, &mut P2) {
        self.wasi_context_mut().get()
    }
}

/// Made at the guest's first WASI call: many guests make none, and it costs more than an instance.
pub struct Context {
    granted: bool,
    spec: Option<WasiSpec>,
    /// `P2` is dropped first: it breaks off what handles in the table would only let go of.
    made: Option<Box<(P2, WasiP1Ctx)>>,
}

impl Context {
    /// Grants nothing.
    pub fn nothing() -> Self {
        Context {
            granted: false,
            spec: None,
            made: None,
        }
    }

    /// With `None` the store grants nothing. Directories are opened now, so that a missing one is reported by the
    /// function that names it.
    pub fn new(spec: Option<WasiSpec>) -> Result<Self> {
        let mut context = Context {
            granted: spec.is_some(),
            spec,
            made: None,
        };
        if context.spec.as_ref().is_some_and(WasiSpec::has_preopens) {
            context.make()?;
        }
        Ok(context)
    }

    /// Whether the store was made with WASI.
    pub fn is_granted(&self) -> bool {
        self.granted
    }

    fn get(&mut self) -> (&mut WasiP1Ctx, &mut P2) {
        if self.made.is_none() && self.make().is_err() {
            self.made = None;
        }
        let (p2, wasi) = &mut **self.made.get_or_insert_with(|| Box::new(nothing()));
        (wasi, p2)
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
fn nothing() -> (P2, WasiP1Ctx) {
    (P2::default(), WasiCtxBuilder::new().build_p1())
}
