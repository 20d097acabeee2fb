//! Extensions of stores, such as traces and profiles, which the store itself does not know.
//!
//! An extension is asked when a store is made and puts what it needs into the store's slots. Its values are dropped
//! with the store.

use crate::guest::data::StoreData;
use crate::vm::error::Result;
use crate::vm::slots::{Shared, SharedSlots};
use rustler::{Atom, Term};
use std::sync::{Arc, OnceLock};
use wasmtime::{Store, StoreContextMut};

/// One kind of extension.
pub trait Extension: Sync {
    /// A store is being made. Extensions that were not asked for do nothing here.
    fn attach(&self, _store: &mut NewStore<'_>) -> Result<()> {
        Ok(())
    }

    /// A job in the store failed; the store is still as the guest left it.
    fn failed(&self, _cx: &mut StoreContextMut<'_, StoreData>, _error: &wasmtime::Error) {}
}

type Table = &'static [&'static dyn Extension];

static TABLE: OnceLock<Table> = OnceLock::new();

/// Makes the extensions known; once, when the library is loaded.
pub fn register(table: Table) {
    let _ = TABLE.set(table);
}

/// The extensions there are.
pub fn all() -> Table {
    TABLE.get().copied().unwrap_or_default()
}

/// A store that is being made, for extensions to attach to.
pub struct NewStore<'a> {
    /// The store; `store.data_mut().slots` is for what guests and host functions change.
    pub store: Store<StoreData>,
    /// For what is looked at from outside while a guest runs.
    pub shared: SharedSlots,
    /// Whether calls of host modules are written down, where they have that variant.
    pub traced: bool,
    /// Whether its guests need tokio within reach of each poll.
    pub reactor: bool,
    /// What the caller asked for: atoms, or pairs of an atom and a term.
    pub asked: Vec<Term<'a>>,
}

impl<'a> NewStore<'a> {
    /// Whether the caller asked for this, by its name alone.
    pub fn is_asked(&self, name: Atom) -> bool {
        let mut asked = self.asked.iter();
        asked.any(|asked| asked.decode::<Atom>().is_ok_and(|asked| asked == name))
    }

    #[allow(dead_code)] // For extensions that take options.
    /// What the caller asked for along with this name: the term in `{name, term}`.
    pub fn asked(&self, name: Atom) -> Option<Term<'a>> {
        self.asked.iter().find_map(|asked| {
            let (known, term): (Atom, Term) = asked.decode().ok()?;
            (known == name).then_some(term)
        })
    }

    /// Attaches a value that both the store's data and its cell have.
    pub fn share<T: Shared>(&mut self, value: Arc<T>) {
        self.shared.insert::<T>(value.clone());
        self.store.data_mut().slots.insert::<Arc<T>>(value);
    }
}
