//! Options from Elixir: a map of names and values, read by name where an option takes effect.
//!
//! Elixir has validated the values (`Wasmex.Options`). If one cannot be decoded, that is a bug in this library.

use crate::vm::atoms;
use crate::vm::term_box::TermBox;
use crate::vm::weight;
use rustler::{Atom, Decoder, NifResult, Term};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::{Result, bail};

/// A map or a struct of options, borrowed from its environment. `{:shared, map}` are options used by many callers, the
/// defaults, without private data: they are kept once for all.
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

/// The options shared last: only one set of defaults matters.
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

    /// The same, or the default of `T` if the option is missing.
    pub fn get_or_default<T: Decoder<'a> + Default>(&self, name: &'static str) -> Result<T> {
        self.find(name)
            .map_or_else(|| Ok(T::default()), |value| decode(name, value))
    }

    /// Whether one of these takes long to copy. Shared options do not: they are the defaults.
    pub fn is_large(&self, names: &[&'static str]) -> bool {
        let is_large = |name| self.find(name).is_some_and(|term| !weight::is_light(term));
        !self.shared && names.iter().any(|name| is_large(name))
    }

    /// Keeps the options for reading in another environment.
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
    /// Private.
    Own(TermBox),
    /// Shared.
    Shared(Arc<TermBox>),
}

impl SavedOptions {
    /// Reads them once; they are consumed, so no other thread reads them at the same time.
    pub fn read<T>(self, read: impl FnOnce(&Options) -> Result<T>) -> Result<T> {
        let own = match self {
            SavedOptions::Own(own) => own,
            SavedOptions::Shared(shared) => TermBox::copy(&shared),
        };
        own.read(|map| read(&Options { map, shared: false }))
    }
}
