//! The text format.

use crate::core::door;
use crate::vm::atoms;
use crate::vm::error::Error;
use crate::vm::terms::binary;
use rustler::{Binary, Encoder, Env, NifResult, Term};

const STRICT_INDICES: &str = "WAST_STRICT_COMPONENT_INDICES";

/// Text of components is also accepted in the old form without `core` before core items, as older tools write it
/// (WebAssembly/component-model#655). wast offers only this environment variable for it and reads it once.
pub fn accept_older_text() {
    if std::env::var_os(STRICT_INDICES).is_none() {
        // SAFETY: called once, while the library is loaded. The VM copies the environment when it starts (os:putenv
        // changes the copy), and the first setenv of a process allocates a new array of variables, so concurrent
        // readers keep the old one.
        unsafe { std::env::set_var(STRICT_INDICES, "0") };
    }
}

#[rustler::nif(schedule = "DirtyCpu")]
fn wat_to_wasm<'a>(env: Env<'a>, text: Binary, limits: Term) -> NifResult<Term<'a>> {
    let limits = door::limits_of(limits)?;
    let text = text.as_slice();
    let parse = || wat::parse_bytes(text).map_err(|error| Error::text(atoms::parse(), error));
    let parsed = door::wat(text, &limits).and_then(|()| door::on_deep_stack(parse));
    Ok(match parsed.and_then(|parsed| parsed) {
        Ok(bytes) => (atoms::ok(), binary(env, &bytes)).encode(env),
        Err(error) => error.to_term(env),
    })
}
