//! The registered host modules, and the selection for a linker: those that are both granted and imported.

use crate::guest::data::StoreData;
use crate::wasi::host::HostModule;
use rustler::{Decoder, NifResult, Term};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{OnceLock, PoisonError, RwLock};
use wasmtime::{Engine, ImportType, Linker, Result, component};

type Table = &'static [HostModule<StoreData>];

static TABLE: OnceLock<Table> = OnceLock::new();

/// Registers the host modules; called once, when the library is loaded.
pub fn register(table: Table) {
    let _ = TABLE.set(table);
}

fn table() -> Table {
    TABLE.get().copied().unwrap_or_default()
}

/// A set of host modules: those a store grants, or a module imports.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hosts {
    /// One bit per host module, by index in the table.
    modules: u32,
    /// Whether their calls are traced, see `observe/trace.rs`.
    pub traced: bool,
}

impl Hosts {
    /// Those granted to the guests of a store.
    pub fn granted(data: &StoreData, traced: bool) -> Self {
        let granted = Self::that(|host| (host.granted)(data));
        Hosts { traced, ..granted }
    }

    /// All host modules, granted or not.
    pub fn all() -> Self {
        Self::that(|_| true)
    }

    fn that(wanted: impl Fn(&HostModule<StoreData>) -> bool) -> Self {
        let bit = |(place, host)| u32::from(wanted(host)) << place;
        Hosts {
            modules: table().iter().enumerate().map(bit).sum(),
            traced: false,
        }
    }

    /// The subset that defines these imports of a module.
    pub fn imported<'a>(self, imports: impl IntoIterator<Item = ImportType<'a>>) -> Self {
        let mut modules = 0;
        let mut last = "";
        for import in imports {
            if self.modules == 0 {
                break;
            }
            let namespace = import.module();
            // Consecutive imports usually have the same namespace.
            if namespace != last {
                let whole = |host: &HostModule<_>| host.own.is_none();
                modules |= Self::that(|host| whole(host) && (host.provides)(namespace)).modules;
                last = namespace;
            }
            let own = |host: &HostModule<_>| host.own.is_some_and(|own| own(&import));
            modules |= Self::that(|host| own(host) && (host.provides)(namespace)).modules;
        }
        Hosts {
            modules: modules & self.modules,
            ..self
        }
    }

    /// The subset that defines these interfaces of a component.
    pub fn interfaces<'a>(self, interfaces: impl IntoIterator<Item = &'a str>) -> Self {
        let mut modules = 0;
        for name in interfaces {
            modules |= Self::that(|host| host.component.is_some() && (host.provides)(name)).modules;
        }
        Hosts {
            modules: modules & self.modules,
            ..self
        }
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.modules == 0
    }

    /// Whether any is for core modules.
    pub fn has_core(self) -> bool {
        self.each().any(|host| host.core.is_some())
    }

    /// The name of one that `others` does not include.
    pub fn missing_from(self, others: Self) -> Option<&'static str> {
        let missing = self.modules & !others.modules;
        let mut places = table().iter().enumerate();
        places
            .find(|(place, _)| missing >> place & 1 == 1)
            .map(|(_, host)| host.name)
    }

    fn each(self) -> impl Iterator<Item = &'static HostModule<StoreData>> {
        let places = table().iter().enumerate();
        places.filter_map(move |(place, host)| (self.modules >> place & 1 == 1).then_some(host))
    }
}

/// Whether a host module defines imports from this namespace.
pub fn provided(namespace: &str) -> bool {
    table().iter().any(|host| (host.provides)(namespace))
}

/// `{[name], traced}`
impl<'a> Decoder<'a> for Hosts {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let (names, traced): (Vec<&str>, bool) = term.decode()?;
        let is_known = |name: &&str| table().iter().any(|host| host.name == *name);
        if !names.iter().all(is_known) {
            return Err(rustler::Error::BadArg);
        }
        let hosts = Self::that(|host| names.contains(&host.name));
        Ok(Hosts { traced, ..hosts })
    }
}

/// Linkers with host modules only, cached for each engine and set.
#[derive(Default)]
pub struct Linkers {
    core: Made<Linker<StoreData>>,
    component: Made<component::Linker<StoreData>>,
}

type Made<L> = RwLock<HashMap<Hosts, L>>;

impl Linkers {
    /// For a core module.
    pub fn core(&self, engine: &Engine, hosts: Hosts) -> Result<Linker<StoreData>> {
        if hosts.is_empty() {
            return Ok(Linker::new(engine));
        }
        known(&self.core, hosts, || {
            let mut linker = Linker::new(engine);
            for host in hosts.each() {
                let traced = host.traced.filter(|_| hosts.traced);
                if let Some(add) = traced.or(host.core) {
                    add(&mut linker)?;
                }
            }
            Ok(linker)
        })
    }

    /// For a component.
    pub fn component(&self, engine: &Engine, hosts: Hosts) -> Result<component::Linker<StoreData>> {
        known(&self.component, hosts, || {
            let mut linker = component::Linker::new(engine);
            for add in hosts.each().filter_map(|host| host.component) {
                add(&mut linker)?;
            }
            Ok(linker)
        })
    }
}

fn known<L: Clone>(made: &Made<L>, hosts: Hosts, make: impl FnOnce() -> Result<L>) -> Result<L> {
    let known = made.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(linker) = known.get(&hosts) {
        return Ok(linker.clone());
    }
    drop(known);
    let linker = make()?;
    let mut made = made.write().unwrap_or_else(PoisonError::into_inner);
    made.insert(hosts, linker.clone());
    Ok(linker)
}
