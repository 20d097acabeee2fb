//! Options as Elixir hands them over: a map of names and values, read by name where an option takes effect.
//!
//! Elixir has checked the values (`Wasmex.Options`). One that does not decode here is a fault of this library.

use crate::vm::atoms;
use crate::vm::term_box::TermBox;
use rustler::{Decoder, NifResult, Term};
use wasmtime::{Result, bail};

/// A map or a struct of options, for as long as its environment lives.
pub struct Options<'a>(Term<'a>);

impl<'a> Decoder<'a> for Options<'a> {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        match term.is_map() {
            true => Ok(Options(term)),
            false => Err(rustler::Error::BadArg),
        }
    }
}

impl<'a> Options<'a> {
    /// The value of an option.
    pub fn get<T: Decoder<'a>>(&self, name: &'static str) -> Result<T> {
        match self.find(name) {
            Some(value) => decode(name, value),
            None => bail!("there is no option {name}"),
        }
    }

    /// The same, or the default of `T` where these options have none of that name.
    pub fn get_or_default<T: Decoder<'a> + Default>(&self, name: &'static str) -> Result<T> {
        self.find(name)
            .map_or_else(|| Ok(T::default()), |value| decode(name, value))
    }

    /// The options as they are, to be read later in another environment.
    pub fn save(&self) -> SavedOptions {
        SavedOptions(TermBox::new(self.0))
    }

    fn find(&self, name: &'static str) -> Option<Term<'a>> {
        let name = atoms::from_static(self.0.get_env(), name)?;
        self.0.map_get(name).ok()
    }
}

fn decode<'a, T: Decoder<'a>>(name: &str, value: Term<'a>) -> Result<T> {
    value
        .decode()
        .or_else(|_| bail!("the option {name} can't be read: {value:?}"))
}

/// Options that outlive the call that brought them.
pub struct SavedOptions(TermBox);

impl SavedOptions {
    /// Reads them. They are used up, so that nobody else reads them at the same time.
    pub fn read<T>(self, read: impl FnOnce(&Options) -> Result<T>) -> Result<T> {
        self.0.read(|term| read(&Options(term)))
    }
}
