//! The text format.

use crate::vm::atoms;
use crate::vm::error::Error;
use crate::vm::terms::binary;
use rustler::{Binary, Encoder, Env, NifResult, Term};

#[rustler::nif(schedule = "DirtyCpu")]
fn wat_to_wasm<'a>(env: Env<'a>, text: Binary) -> NifResult<Term<'a>> {
    Ok(match wat::parse_bytes(text.as_slice()) {
        Ok(bytes) => (atoms::ok(), binary(env, &bytes)).encode(env),
        Err(error) => Error::text(atoms::parse(), error).to_term(env),
    })
}
