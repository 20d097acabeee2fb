//! Errors for what is used in a store, or on a node, that it does not belong to.

use crate::guest::data::StoreData;
use crate::vm::error::{Error, Result};
use crate::vm::host_error::host_error;
use crate::vm::resource;
use rustler::{Atom, Term};
use wasmtime::StoreContextMut;

host_error! {
    /// An item was used in a store that it does not belong to.
    pub struct ForeignStore = foreign_store {
        /// The kind of item.
        kind: Atom,
    }
}

host_error! {
    /// A handle of another node was used.
    pub struct ForeignNode = foreign_node {
        /// The kind of handle.
        kind: Atom,
    }
}

/// Whether an item of this kind belongs to the store: its own has this id.
pub fn check(cx: &StoreContextMut<'_, StoreData>, kind: Atom, store: u64) -> Result<()> {
    match store == cx.data().id {
        true => Ok(()),
        false => Err(ForeignStore { kind }.into()),
    }
}

/// The error for a term that is a handle of another node, if it is one.
pub fn of_node(kind: Atom, term: Term) -> Option<Error> {
    resource::is_elsewhere(term).then(|| ForeignNode { kind }.into())
}
