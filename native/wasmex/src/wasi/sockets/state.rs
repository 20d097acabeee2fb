//! What a store has for preview 1.

use crate::vm::atoms;
use crate::wasi::sockets::descriptors::Descriptors;
use crate::wasi::sockets::net::Net;
use rustler::{Atom, Decoder, NifResult, Term};
use wasmtime_wasi::p1::WasiP1Ctx;

/// wasmtime's context, and the sockets beside it.
pub struct P1 {
    /// Files, standard streams, clocks and the rest.
    pub ctx: WasiP1Ctx,
    /// What the guest's numbers stand for. Sockets are closed when it is dropped.
    pub descriptors: Descriptors,
    /// What sockets may do.
    pub net: Net,
    /// The flags that the guest has set of its standard streams.
    pub standard: [u16; 3],
}

/// Which interfaces of sockets guests may import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interfaces {
    None,
    /// Whichever the types of the imports are of; as the table of options has it.
    #[default]
    Auto,
    V1,
    V2,
}

impl Interfaces {
    /// Whether there is any.
    pub fn any(self) -> bool {
        self != Interfaces::None
    }

    /// Whether there is version 2.
    pub fn v2(self) -> bool {
        matches!(self, Interfaces::Auto | Interfaces::V2)
    }

    /// Whether there is version 1.
    pub fn v1(self) -> bool {
        matches!(self, Interfaces::Auto | Interfaces::V1)
    }
}

impl<'a> Decoder<'a> for Interfaces {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        match term.decode::<Atom>()? {
            atom if atom == atoms::auto() => Ok(Interfaces::Auto),
            atom if atom == atoms::v1() => Ok(Interfaces::V1),
            atom if atom == atoms::v2() => Ok(Interfaces::V2),
            atom if atom == atoms::none() => Ok(Interfaces::None),
            _ => Err(rustler::Error::BadArg),
        }
    }
}
