//! Compiling code and serialising it, the same for modules and components.

use crate::core::artefact::{self, Compiled};
use crate::core::door;
use crate::core::engine::EngineResource;
use crate::vm::atoms;
use crate::vm::compiling;
use crate::vm::error::{Error, Result};
use crate::vm::resource::ResourceArc;
use crate::vm::term_box::TermBox;
use crate::vm::terms;
use rustler::{Binary, Encoder, Env, NifUnitEnum, Term};
use scan::Limits;

/// The code that is compiled in the VM.
#[derive(Clone, Copy, NifUnitEnum)]
pub enum Which {
    /// What the engine's limits allow.
    Any,
    /// What compiles in a moment; the rest is refused as `:expensive`.
    Quick,
}

impl Which {
    /// Refuses other code.
    pub fn check(self, bytes: &[u8], limits: &Limits) -> Result<()> {
        match self {
            Which::Any => door::binary(bytes, limits),
            Which::Quick => door::quick(bytes, limits),
        }
    }
}

/// Starts compiling `bytes` for the calling process, which gets the result of `made` as a message, see
/// `vm/compiling.rs`. `(reference, most)` are the message's reference and the maximum number of waiting and running
/// compiles. `which` is the code that is compiled here.
pub fn compile<'a, C: Compiled>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    bytes: Binary<'a>,
    (reference, most): (Term<'a>, usize),
    which: Which,
    made: impl for<'b> FnOnce(Env<'b>, ResourceArc<EngineResource>, C) -> Term<'b> + Send + 'static,
) -> Term<'a> {
    let code = TermBox::new(bytes.to_term(env));
    let made_for = engine.clone();
    compiling::begin(
        env,
        (reference, most),
        bytes.len(),
        move || {
            which.check(code.bytes(), &engine.limits)?;
            let compiled = C::from_binary(&engine.engine, code.bytes());
            compiling::checked(compiled.and_then(artefact::prepared))
        },
        move |env, code| made(env, made_for, code),
    )
}

/// `{:ok, artefact}`, or an error.
pub fn serialize<'a>(env: Env<'a>, code: &impl Compiled) -> Term<'a> {
    match code.to_artefact() {
        Ok(artefact) => (atoms::ok(), terms::binary(env, &artefact)).encode(env),
        Err(error) => Error::chain(atoms::artefact(), &error).to_term(env),
    }
}
