//! The handle through which a request uses a store.

use crate::vm::atoms;
use rustler::{Decoder, Encoder, Env, NifResult, Term};

/// The handle used for the request.
#[derive(Clone, Copy)]
pub enum Via {
    /// The store itself.
    Store,
    /// The `caller` of the import with this serial.
    Caller(u64),
}

/// nil or a serial.
impl<'a> Decoder<'a> for Via {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        Ok(match term.is_atom() {
            true => Via::Store,
            false => Via::Caller(term.decode()?),
        })
    }
}

impl Encoder for Via {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Via::Store => atoms::nil().encode(env),
            Via::Caller(serial) => serial.encode(env),
        }
    }
}
