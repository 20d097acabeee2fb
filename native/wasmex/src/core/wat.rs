//! The text format.

use crate::core::door;
use crate::vm::atoms;
use crate::vm::error::Error;
use crate::vm::terms::binary;
use rustler::{Binary, Encoder, Env, NifResult, Term};

const STRICT_INDICES: &str = "WAST_STRICT_COMPONENT_INDICES";

/// The text of components is also read in the form that had no `core` before core items, as older tools write it
/// (WebAssembly/component-model#655). wast has only this variable for it, and reads it once.
pub fn accept_older_text() {
    if std::env::var_os(STRICT_INDICES).is_none() {
        // SAFETY: called once, while the library is loaded. The VM reads the environment when it starts and has a
        // copy of its own after that (os:putenv), and the first setenv of a process leaves what others may be
        // reading as it is: it makes a new array of variables.
        unsafe { std::env::set_var(STRICT_INDICES, "0") };
    }
}

#[rustler::nif(schedule = "DirtyCpu")]
fn wat_to_wasm<'a>(env: Env<'a>, text: Binary) -> NifResult<Term<'a>> {
    let text = text.as_slice();
    let parse = || wat::parse_bytes(text).map_err(|error| Error::text(atoms::parse(), error));
    let parsed = door::wat(text).and_then(|()| door::on_deep_stack(parse));
    Ok(match parsed.and_then(|parsed| parsed) {
        Ok(bytes) => (atoms::ok(), binary(env, &bytes)).encode(env),
        Err(error) => error.to_term(env),
    })
}
