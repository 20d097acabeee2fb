//! Rules as encoded by `Wasmex.Options.Type.Address`: `{kind, text, first_port, last_port}`.

use crate::vm::atoms;
use crate::wasi::rules::{Rule, Target, normal};
use rustler::{Atom, Decoder, Error, NifResult, Term};

impl<'a> Decoder<'a> for Rule {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let (kind, text, first, last): (Atom, String, u16, u16) = term.decode()?;
        Ok(Rule {
            target: target(kind, &text).ok_or(Error::BadArg)?,
            ports: first..=last,
        })
    }
}

fn target(kind: Atom, text: &str) -> Option<Target> {
    match kind {
        kind if kind == atoms::any() => Some(Target::Any),
        kind if kind == atoms::name() => Some(Target::Name(normal(text))),
        kind if kind == atoms::glob() => Some(Target::Glob(normal(text))),
        // An address and a prefix length: "10.0.0.0/8".
        kind if kind == atoms::ip() => {
            let (address, bits) = text.split_once('/')?;
            Some(Target::net(address.parse().ok()?, bits.parse().ok()?))
        }
        _ => None,
    }
}
