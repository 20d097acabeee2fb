//! Host modules: functions that a guest may import from the library itself, under one name.
//!
//! A new one is one file with a `HostModule` and one line in the table in `lib.rs`. `T` is the data of a store.

use wasmtime::{ImportType, Linker, Result, component};

/// Adds the functions of a host module to a linker.
pub type Add<L> = fn(&mut L) -> Result<()>;

/// A host module. Function pointers, so that it can be written down as a constant.
pub struct HostModule<T: 'static> {
    /// How Elixir names it: unique among all.
    pub name: &'static str,
    /// Whether it defines imports of this namespace, or of this interface of a component.
    pub provides: fn(&str) -> bool,
    /// Which imports of such a namespace are its own, where that are not all.
    pub own: Option<fn(&ImportType<'_>) -> bool>,
    /// Whether the guests of a store with this data may import it.
    pub granted: fn(&T) -> bool,
    /// Adds it to a linker of core modules.
    pub core: Option<Add<Linker<T>>>,
    /// The same in stores that write down calls; `core` is used where it is absent.
    pub traced: Option<Add<Linker<T>>>,
    /// Adds it to a linker of components.
    pub component: Option<Add<component::Linker<T>>>,
}

impl<T> HostModule<T> {
    /// The same host module with a variant that writes down its calls.
    pub const fn traced(mut self, traced: Add<Linker<T>>) -> Self {
        self.traced = Some(traced);
        self
    }
}
