//! Extensions of stores, such as traces and profiles, which the store itself does not know.
//!
//! When a store is created, each extension may attach values to the store's slots. They are dropped with the store.

use crate::guest::data::StoreData;
use crate::vm::error::Result;
use crate::vm::slots::{Shared, SharedSlots};
use rustler::{Atom, Term};
use std::sync::{Arc, OnceLock};
use wasmtime::{Store, StoreContextMut};

/// One kind of extension.
pub trait Extension: Sync {
    /// A store is being created. Extensions that were not requested do nothing here.
    fn attach(&self, _store: &mut NewStore<'_>) -> Result<()> {
        Ok(())
    }

    /// Whether [`Extension::failed`] does long work for this error. It is then called on a dirty scheduler.
    fn is_long(&self, _error: &wasmtime::Error) -> bool {
        false
    }

    /// A job in the store failed; the store is still in the state the guest left.
    fn failed(&self, _cx: &mut StoreContextMut<'_, StoreData>, _error: &wasmtime::Error) {}
}

type Table = &'static [&'static dyn Extension];

static TABLE: OnceLock<Table> = OnceLock::new();

/// Registers the extensions; called once, when the library is loaded.
pub fn register(table: Table) {
    let _ = TABLE.set(table);
}

/// The registered extensions.
pub fn all() -> Table {
    TABLE.get().copied().unwrap_or_default()
}

/// A store being created, for extensions to attach to.
pub struct NewStore<'a> {
    /// The store; `store.data_mut().slots` holds what guests and host functions change.
    pub store: Store<StoreData>,
    /// For values read from outside while a guest runs.
    pub shared: SharedSlots,
    /// Whether calls of host modules are traced, if they support it.
    pub traced: bool,
    /// Whether its guests need tokio's context in each poll.
    pub reactor: bool,
    /// The requested extensions: atoms, or pairs of an atom and a term.
    pub asked: Vec<Term<'a>>,
}

impl<'a> NewStore<'a> {
    /// Whether this name was requested.
    pub fn is_asked(&self, name: Atom) -> bool {
        let mut asked = self.asked.iter();
        asked.any(|asked| asked.decode::<Atom>().is_ok_and(|asked| asked == name))
    }

    #[allow(dead_code)] // For extensions that take options.
    /// The term requested with this name: `term` of `{name, term}`.
    pub fn asked(&self, name: Atom) -> Option<Term<'a>> {
        self.asked.iter().find_map(|asked| {
            let (known, term): (Atom, Term) = asked.decode().ok()?;
            (known == name).then_some(term)
        })
    }

    /// Attaches a value to both the store's data and its cell.
    pub fn share<T: Shared>(&mut self, value: Arc<T>) {
        self.shared.insert::<T>(value.clone());
        self.store.data_mut().slots.insert::<Arc<T>>(value);
    }
}
