//! Options as Elixir hands them over: a map of names and values, read by name where an option takes effect.
//!
//! Elixir has checked the values (`Wasmex.Options`). One that does not decode here is a fault of this library.

use crate::vm::atoms;
use crate::vm::term_box::TermBox;
use rustler::{Atom, Decoder, NifResult, Term};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::{Result, bail};

/// A map or a struct of options, for as long as its environment lives. `{:shared, map}` are options that many give, the
/// defaults, with nothing of anybody in them: they are kept once for all.
pub struct Options<'a> {
    map: Term<'a>,
    shared: bool,
}

impl<'a> Decoder<'a> for Options<'a> {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let (map, shared) = match term.decode::<(Atom, Term)>() {
            Ok((tag, map)) if tag == atoms::shared() => (map, true),
            _ => (term, false),
        };
        match map.is_map() {
            true => Ok(Options { map, shared }),
            false => Err(rustler::Error::BadArg),
        }
    }
}

/// The options that were shared last: there is one set of defaults that matters.
static SHARED: Mutex<Option<Arc<TermBox>>> = Mutex::new(None);

fn share(map: Term) -> Arc<TermBox> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*shared {
        Some(known) if known.is(map) => known.clone(),
        _ => shared.insert(Arc::new(TermBox::new(map))).clone(),
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
        match self.shared {
            true => SavedOptions::Shared(share(self.map)),
            false => SavedOptions::Own(TermBox::new(self.map)),
        }
    }

    fn find(&self, name: &'static str) -> Option<Term<'a>> {
        let name = atoms::from_static(self.map.get_env(), name)?;
        self.map.map_get(name).ok()
    }
}

fn decode<'a, T: Decoder<'a>>(name: &str, value: Term<'a>) -> Result<T> {
    value
        .decode()
        .or_else(|_| bail!("the option {name} can't be read: {value:?}"))
}

/// Options that outlive the call that brought them.
pub enum SavedOptions {
    /// Of their own.
    Own(TermBox),
    /// The same as others have.
    Shared(Arc<TermBox>),
}

impl SavedOptions {
    /// Reads them. They are used up, so that nobody else reads them at the same time.
    pub fn read<T>(self, read: impl FnOnce(&Options) -> Result<T>) -> Result<T> {
        let own = match self {
            SavedOptions::Own(own) => own,
            SavedOptions::Shared(shared) => TermBox::copy(&shared),
        };
        own.read(|map| read(&Options { map, shared: false }))
    }
}
