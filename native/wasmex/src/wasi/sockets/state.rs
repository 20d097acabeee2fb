//! The preview 1 state of a store.

use crate::vm::atoms;
use crate::wasi::sockets::descriptors::Descriptors;
use crate::wasi::sockets::net::Net;
#[cfg(unix)]
use crate::wasi::sockets::readdir::Listings;
use rustler::{Atom, Decoder, NifResult, Term};
use wasmtime_wasi::p1::WasiP1Ctx;

/// wasmtime's context, and the sockets beside it.
pub struct P1 {
    /// Files, standard streams, clocks and the rest.
    pub ctx: WasiP1Ctx,
    /// Whether copying the arguments and the environment variables takes long.
    pub has_large_environment: bool,
    /// Directories that are being listed.
    #[cfg(unix)]
    pub listings: Listings,
    /// The guest's descriptors. Sockets are closed when it is dropped.
    pub descriptors: Descriptors,
    /// What sockets may do.
    pub net: Net,
    /// The guest's flags of its standard streams.
    pub standard: [u16; 3],
}

/// The socket interfaces that guests may import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interfaces {
    None,
    /// Whichever version the types of the imports match; the default in the options.
    #[default]
    Auto,
    V1,
    V2,
}

impl Interfaces {
    /// Whether any is allowed.
    pub fn any(self) -> bool {
        self != Interfaces::None
    }

    /// Whether version 2 is allowed.
    pub fn v2(self) -> bool {
        matches!(self, Interfaces::Auto | Interfaces::V2)
    }

    /// Whether version 1 is allowed.
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
