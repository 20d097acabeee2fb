//! Imports resolved against a module.

use crate::core::import::{self, Definition};
use crate::core::typed_import;
use crate::core::types;
use crate::guest::data::StoreData;
use crate::guest::foreign::ForeignStore;
use crate::guest::suspension::ImportTable;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::host_error::host_error;
use rustler::{NifResult, Term};
use std::sync::Arc;
use wasmtime::{Engine, ImportType, InstancePre, Linker, Module, StoreContextMut};

/// The declarations from Elixir: the functions, and the import each one defines.
pub struct Wanted {
    declarations: Vec<import::Declaration>,
    functions: Arc<ImportTable>,
}

impl Wanted {
    /// From the declarations and the tuple of functions.
    pub fn decode(engine: &Engine, list: Term, functions: Term) -> NifResult<Self> {
        Ok(Wanted {
            declarations: import::declarations(engine, list)?,
            functions: ImportTable::new(functions),
        })
    }

    /// The store that an import belongs to, if any does.
    pub fn store(&self) -> Option<u64> {
        self.declarations
            .iter()
            .find_map(|declaration| match declaration.definition {
                Definition::Extern(_, store) => Some(store),
                Definition::Func(_) => None,
            })
    }

    /// Adds all of them to a linker.
    pub fn define(
        self,
        linker: &mut Linker<StoreData>,
        cx: &mut StoreContextMut<'_, StoreData>,
    ) -> Result<()> {
        let table = self.functions;
        let mut index = 0;
        for declaration in self.declarations {
            let (namespace, name) = (declaration.namespace, declaration.name);
            let defined = match declaration.definition {
                Definition::Func(ty) => {
                    index += 1;
                    let import = table.function(index - 1);
                    match typed_import::define(linker, &namespace, &name, &ty, &import) {
                        Ok(false) => import::define(linker, &namespace, &name, ty, import),
                        defined => defined.map(drop),
                    }
                }
                Definition::Extern(_, store) if store != cx.data().id => {
                    return Err(ForeignStore {
                        kind: atoms::import(),
                    }
                    .into());
                }
                Definition::Extern(external, _) => linker
                    .define(&mut *cx, &namespace, &name, external)
                    .map(|_| ()),
            };
            defined.map_err(|error| Error::text(atoms::duplicate_import(), error))?;
        }
        Ok(())
    }
}

host_error! {
    /// A module has missing imports.
    pub struct MissingImport = missing_import {
        /// Namespace of the first.
        namespace: String,
        /// Its name.
        name: String,
        /// Its type.
        expected: String,
        /// Namespace and name of each.
        names: Vec<(String, String)>,
        /// Whether a linked module imports it.
        linked: bool,
    }
}

fn names(import: &ImportType) -> (String, String) {
    (import.module().to_string(), import.name().to_string())
}

/// Resolves the imports of a module. The error names all that are missing.
pub fn prepare(
    linker: &Linker<StoreData>,
    module: &Module,
    linked: bool,
    cx: &mut StoreContextMut<'_, StoreData>,
) -> Result<InstancePre<StoreData>> {
    let mut missing = module
        .imports()
        .filter(|import| linker.get_by_import(&mut *cx, import).is_none())
        .peekable();
    if let Some(first) = missing.peek() {
        let (namespace, name) = names(first);
        let expected = types::describe(&first.ty());
        return Err(MissingImport {
            namespace,
            name,
            expected,
            names: missing.map(|import| names(&import)).collect(),
            linked,
        }
        .into());
    }
    drop(missing);
    linker
        .instantiate_pre(module)
        .map_err(|error| Error::chain(atoms::incompatible_import(), &error))
}
