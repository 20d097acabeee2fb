//! The library's own errors: each provides its kind and details, and is declared where it is used.
//!
//! Rust fills the fields; `Wasmex.Error` in Elixir makes the exception and writes the sentence.

use rustler::{Atom, Env, Term};
use std::any::Any;
use std::sync::OnceLock;

/// The details for Elixir, by name.
pub type Details<'a> = Vec<(Atom, Term<'a>)>;

/// An error that provides its details.
pub trait HostError: Any + Send + Sync {
    /// The first element of `{kind, details}`.
    fn kind(&self) -> Atom;

    /// The pairs of the second element.
    fn details<'a>(&self, env: Env<'a>) -> Details<'a>;

    /// Whether Elixir also gets the causes and the backtrace when it ends a guest.
    fn has_backtrace(&self) -> bool {
        true
    }
}

/// Declares an error whose details are its fields: `struct Name = kind { field: Type, … }`. Atoms for the kind and the
/// fields must exist.
macro_rules! host_error {
    ($(#[$about:meta])* $vis:vis struct $name:ident = $kind:ident {
        $($(#[$field_about:meta])* $field:ident: $ty:ty,)*
    }) => {
        $(#[$about])*
        $vis struct $name { $($(#[$field_about])* $vis $field: $ty,)* }

        impl $crate::vm::host_error::HostError for $name {
            fn kind(&self) -> rustler::Atom {
                $crate::vm::atoms::$kind()
            }

            fn details<'a>(&self, env: rustler::Env<'a>) -> $crate::vm::host_error::Details<'a> {
                let _ = env;
                vec![$(($crate::vm::atoms::$field(), rustler::Encoder::encode(&self.$field, env)),)*]
            }
        }
    };
}

pub(crate) use host_error;

/// Finds one type of error in a wasmtime error left by a host function.
pub type Find = fn(&wasmtime::Error) -> Option<&dyn HostError>;

/// Finds errors of type `T`.
pub fn find<T: HostError + std::error::Error>(error: &wasmtime::Error) -> Option<&dyn HostError> {
    let found = error.downcast_ref::<T>()?;
    Some(found)
}

static TABLE: OnceLock<&'static [Find]> = OnceLock::new();

/// Registers the errors that host functions leave; called once, when the library is loaded.
pub fn register(table: &'static [Find]) {
    let _ = TABLE.set(table);
}

/// The error left by a host function, if any. If several match, the first in the table wins.
pub fn of(error: &wasmtime::Error) -> Option<&dyn HostError> {
    let table = TABLE.get().copied().unwrap_or_default();
    table.iter().find_map(|find| find(error))
}
