//! Errors of the library's own: each knows its kind and its details, and is declared where it belongs.
//!
//! Rust fills the fields; `Wasmex.Error` in Elixir makes the exception and writes the sentence.

use rustler::{Atom, Env, Term};
use std::any::Any;
use std::sync::OnceLock;

/// What Elixir is told besides the kind, by name.
pub type Details<'a> = Vec<(Atom, Term<'a>)>;

/// An error that knows what Elixir is told about it.
pub trait HostError: Any + Send + Sync {
    /// The first element of `{kind, details}`.
    fn kind(&self) -> Atom;

    /// The pairs of the second element.
    fn details<'a>(&self, env: Env<'a>) -> Details<'a>;

    /// Where it ends a guest: whether Elixir is told the causes and the backtrace too.
    fn has_backtrace(&self) -> bool {
        true
    }
}

/// Declares an error whose details are its fields: `struct Name = kind { field: Type, … }`. The kind and the fields are
/// atoms of those names.
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

/// Finds one type of error in wasmtime's error, where host functions leave it.
pub type Find = fn(&wasmtime::Error) -> Option<&dyn HostError>;

/// Finds errors of type `T`.
pub fn find<T: HostError + std::error::Error>(error: &wasmtime::Error) -> Option<&dyn HostError> {
    let found = error.downcast_ref::<T>()?;
    Some(found)
}

static TABLE: OnceLock<&'static [Find]> = OnceLock::new();

/// Makes the errors known that host functions leave; once, when the library is loaded.
pub fn register(table: &'static [Find]) {
    let _ = TABLE.set(table);
}

/// The error that a host function left, if any. If several match, the first in the table wins.
pub fn of(error: &wasmtime::Error) -> Option<&dyn HostError> {
    let table = TABLE.get().copied().unwrap_or_default();
    table.iter().find_map(|find| find(error))
}
