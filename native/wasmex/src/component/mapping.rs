//! How values look in Elixir: which names are atoms, what bytes are, how strict input is.

use rustler::{Decoder, NifResult, Term};

/// The bits of packed lists, where bytes are binaries, too.
pub const PACKED: u32 = 6;
/// The same with names as atoms that exist.
pub const PACKED_ATOMS: u32 = 7;

/// Chosen by Elixir per call and per set of imports.
#[derive(Clone, Copy, Default)]
pub struct Mapping {
    /// Names come out as atoms where such an atom exists already (the drop-in rule); otherwise only
    /// those that Elixir named for the component do, and all others are strings.
    pub existing_atoms: bool,
    /// `list<u8>` comes out as a binary.
    pub bytes: bool,
    /// Lists of numbers come out as `{:u32, binary}`, with the type's name.
    pub packed: bool,
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
            packed: bits & 4 != 0,
            lenient: bits & 8 != 0,
            exact: bits & 16 != 0,
        }
    }

    /// What matters to values on their way out: the low bits, 0 to 3, [`PACKED`] or [`PACKED_ATOMS`].
    pub fn outward(self) -> u32 {
        let atoms = u32::from(self.existing_atoms);
        match self.packed {
            true => atoms | PACKED,
            false => atoms | u32::from(self.bytes) << 1,
        }
    }
}

impl<'a> Decoder<'a> for Mapping {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        term.decode().map(Mapping::of)
    }
}
