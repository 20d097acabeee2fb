//! How values look in Elixir: which names are atoms, what bytes are, how strict input is.

use rustler::{Decoder, NifResult, Term};

/// Chosen by Elixir per call and per set of imports.
#[derive(Clone, Copy, Default)]
pub struct Mapping {
    /// Names come out as atoms where such an atom exists already (the drop-in rule); otherwise only
    /// those that Elixir named for the component do, and all others are strings.
    pub existing_atoms: bool,
    /// `list<u8>` comes out as a binary.
    pub bytes: bool,
    /// Accept what Wasmex 0.15 accepts: any term as a bool, atoms as strings, unknown fields.
    pub lenient: bool,
    /// Refuse more arguments than there are parameters, though lenient.
    pub exact: bool,
}

impl Mapping {
    /// From its bits, as Elixir writes it.
    pub const fn of(bits: u32) -> Self {
        Mapping {
            existing_atoms: bits & 1 != 0,
            bytes: bits & 2 != 0,
            lenient: bits & 4 != 0,
            exact: bits & 8 != 0,
        }
    }

    /// What matters to values on their way out, as a number from 0 to 3.
    pub fn outward(self) -> u32 {
        u32::from(self.existing_atoms) | u32::from(self.bytes) << 1
    }
}

impl<'a> Decoder<'a> for Mapping {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        term.decode().map(Mapping::of)
    }
}
