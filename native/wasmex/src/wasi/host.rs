//! Host modules: named sets of functions that the library itself provides to guests.
//!
//! A new one is one file with a `HostModule` and one line in the table in `lib.rs`. `T` is the data of a store.

use wasmtime::{ImportType, Linker, Result, component};

/// Adds a host module's functions to a linker.
pub type Add<L> = fn(&mut L) -> Result<()>;

/// A host module. Function pointers allow it to be a constant.
pub struct HostModule<T: 'static> {
    /// Its name in Elixir, unique among all.
    pub name: &'static str,
    /// Whether it defines imports of this namespace, or of this interface of a component.
    pub provides: fn(&str) -> bool,
    /// Which imports of its namespaces it defines, if not all.
    pub own: Option<fn(&ImportType<'_>) -> bool>,
    /// Whether a store with this data grants it.
    pub granted: fn(&T) -> bool,
    /// Adds it to a linker of core modules.
    pub core: Option<Add<Linker<T>>>,
    /// The same for stores that trace calls; `core` is used if absent.
    pub traced: Option<Add<Linker<T>>>,
    /// Adds it to a linker of components.
    pub component: Option<Add<component::Linker<T>>>,
}

impl<T> HostModule<T> {
    /// The same host module, with a tracing variant.
    pub const fn traced(mut self, traced: Add<Linker<T>>) -> Self {
        self.traced = Some(traced);
        self
    }

    /// The same host module, with other functions for components.
    pub const fn for_components(mut self, add: Add<component::Linker<T>>) -> Self {
        self.component = Some(add);
        self
    }
}
