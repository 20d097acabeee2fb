//! Compiling code and serialising it, the same for modules and components.

use crate::core::artefact::{self, Compiled};
use crate::core::door;
use crate::core::engine::EngineResource;
use crate::vm::atoms;
use crate::vm::compiling;
use crate::vm::error::Error;
use crate::vm::resource::ResourceArc;
use crate::vm::term_box::TermBox;
use crate::vm::terms;
use rustler::{Binary, Encoder, Env, Term};

/// Starts compiling `bytes` for the calling process, which gets the result of `made` as a message, see
/// `vm/compiling.rs`. `(reference, most)` are the message's reference and the maximum number of waiting and running
/// compiles.
pub fn compile<'a, C: Compiled>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    bytes: Binary<'a>,
    (reference, most): (Term<'a>, usize),
    made: impl for<'b> FnOnce(Env<'b>, ResourceArc<EngineResource>, C) -> Term<'b> + Send + 'static,
) -> Term<'a> {
    let code = TermBox::new(bytes.to_term(env));
    let made_for = engine.clone();
    compiling::begin(
        env,
        (reference, most),
        bytes.len(),
        move || {
            door::binary(code.bytes(), &engine.limits)?;
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
