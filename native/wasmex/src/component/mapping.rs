//! How values are represented in Elixir: which names are atoms, how bytes look, how strict input is.

use crate::vm::layout;
use rustler::{Decoder, NifResult, Term};

/// The bits of packed lists, which include bytes as binaries.
pub const PACKED: u32 = 6;
/// The same, with existing atoms for names.
pub const PACKED_ATOMS: u32 = 7;

/// Chosen by Elixir for each call and each set of imports.
#[derive(Clone, Copy, Default)]
pub struct Mapping {
    /// Names are returned as atoms if such an atom exists already (as Wasmex 0.15 does); otherwise only names
    /// registered by Elixir for the component are, and all others are strings.
    pub existing_atoms: bool,
    /// `list<u8>` is returned as a binary.
    pub bytes: bool,
    /// Lists of numbers are returned as `{:u32, binary}`, with the type's name.
    pub packed: bool,
    /// Accept what Wasmex 0.15 accepts: any term as a bool, atoms as strings, unknown fields.
    pub lenient: bool,
    /// Refuse surplus arguments even if lenient.
    pub exact: bool,
}

impl Mapping {
    /// Decodes the bits, as Elixir encodes them.
    pub const fn of(bits: u32) -> Self {
        Mapping {
            existing_atoms: bits & 1 != 0,
            bytes: bits & 2 != 0,
            packed: bits & 4 != 0,
            lenient: bits & 8 != 0,
            exact: bits & 16 != 0,
        }
    }

    /// The part that affects lifting: the low bits, 0 to 3, [`PACKED`] or [`PACKED_ATOMS`].
    pub fn outward(self) -> u32 {
        let atoms = u32::from(self.existing_atoms);
        match self.packed {
            true => atoms | PACKED,
            false => atoms | u32::from(self.bytes) << 1,
        }
    }
}

impl<'a> Decoder<'a> for Mapping {
    #[inline]
    fn decode(term: Term<'a>) -> NifResult<Self> {
        match layout::small(term).and_then(|bits| u32::try_from(bits).ok()) {
            Some(bits) => Ok(Mapping::of(bits)),
            None => term.decode().map(Mapping::of),
        }
    }
}
