//! Resolves the imports of a plug-in's modules, once for all instances.

use crate::core::engine::EngineResource;
use crate::core::linker::MissingImport;
use crate::core::template::scratch;
use crate::core::types;
use crate::guest::data::StoreData;
use crate::plugin::kernel::Kernel;
use crate::plugin::state::ENV;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use std::collections::HashSet;
use wasmtime::{
    Extern, ExternType, FuncType, ImportType, Instance, Linker, Module, ModuleExport,
    StoreContextMut, ValType,
};

/// Namespace and prefix of the functions before Extism 1.0.
const BEFORE: (&str, &str) = ("env", "extism_");

/// A module of a plug-in.
pub struct Linked {
    pub name: String,
    pub module: Module,
    imports: Box<[Source]>,
    pub kind: LinkKind,
}

/// How other modules link to this one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// One instance shared by all of them.
    Library,
    /// A program: each call gets a new instance.
    Command,
}

/// The source of an import.
enum Source {
    Kernel(ModuleExport),
    Host(Box<str>, Box<str>),
    /// The module with this index.
    Link(usize, Box<str>),
}

/// The names of the callable functions, among the first exports.
pub fn callable(module: &Module, most: usize) -> Vec<String> {
    let exports = module.exports().take(most);
    exports
        .filter(|export| matches!(export.ty(), ExternType::Func(ty) if is_callable(&ty)))
        .map(|export| export.name().to_string())
        .collect()
}

/// `() -> i32` and `() -> ()` are callable.
pub fn is_callable(ty: &FuncType) -> bool {
    ty.params().len() == 0
        && match ty.results().len() {
            0 => true,
            1 => ty.result(0).is_some_and(|ty| matches!(ty, ValType::I32)),
            _ => false,
        }
}

/// A linked module after instantiation.
pub enum Provider {
    Instance(Instance),
    Command(Linker<StoreData>),
}

type Users = HashSet<(String, String)>;

/// Resolves the imports of all modules; each may use those before it.
pub fn resolve(
    engine: &EngineResource,
    kernel: &Kernel,
    hosts: &Linker<StoreData>,
    users: &Users,
    modules: Vec<(String, Module)>,
) -> Result<Vec<Linked>> {
    let mut done: Vec<Linked> = Vec::new();
    for (name, module) in modules {
        let imports = Resolver {
            engine,
            kernel,
            hosts,
            users,
            links: &done,
        }
        .module(&module)?;
        done.push(Linked {
            kind: kind(&module),
            name,
            imports,
            module,
        });
    }
    Ok(done)
}

fn kind(module: &Module) -> LinkKind {
    let has = |name| matches!(module.get_export(name), Some(ExternType::Func(_)));
    match has("_start") && !has("_initialize") {
        true => LinkKind::Command,
        false => LinkKind::Library,
    }
}

struct Resolver<'a> {
    engine: &'a EngineResource,
    kernel: &'a Kernel,
    hosts: &'a Linker<StoreData>,
    users: &'a Users,
    links: &'a [Linked],
}

impl Resolver<'_> {
    fn module(&self, module: &Module) -> Result<Box<[Source]>> {
        let mut missing = Vec::new();
        let mut sources = Vec::new();
        for import in module.imports() {
            match self.source(&import)? {
                Some((source, ty)) => {
                    check(&import, &ty)?;
                    sources.push(source);
                }
                None => missing.push(import),
            }
        }
        match missing.first() {
            None => Ok(sources.into()),
            Some(first) => Err(MissingImport {
                namespace: first.module().to_string(),
                name: first.name().to_string(),
                expected: types::describe(&first.ty()),
                names: missing
                    .iter()
                    .map(|import| (import.module().to_string(), import.name().to_string()))
                    .collect(),
                linked: false,
            }
            .into()),
        }
    }

    fn source(&self, import: &ImportType) -> Result<Option<(Source, ExternType)>> {
        let (namespace, name) = (import.module(), import.name());
        if self.users.contains(&(namespace.into(), name.into())) {
            return Ok(self.host(namespace, name));
        }
        let linked = |linked: &Linked| linked.name == namespace;
        if let Some(index) = self.links.iter().position(linked) {
            let ty = self.links[index].module.get_export(name);
            return Ok(ty.map(|ty| (Source::Link(index, name.into()), ty)));
        }
        if namespace == BEFORE.0
            && let Some(name) = name.strip_prefix(BEFORE.1)
        {
            return Ok(self.env(name));
        }
        if namespace != ENV {
            return Ok(self.host(namespace, name));
        }
        if !matches!(import.ty(), ExternType::Func(_)) {
            let text = format!(
                "{ENV}::{name} can't be imported: only the functions of {ENV} can, neither its memory nor its globals"
            );
            return Err(Error::text(atoms::incompatible_import(), text));
        }
        Ok(self.env(name))
    }

    /// A function of the ABI.
    fn env(&self, name: &str) -> Option<(Source, ExternType)> {
        if let Some(export) = self.kernel.function(name) {
            let ty = self.kernel.template.module().get_export(name)?;
            return Some((Source::Kernel(export), ty));
        }
        self.host(ENV, name)
    }

    fn host(&self, namespace: &str, name: &str) -> Option<(Source, ExternType)> {
        let mut scratch = scratch(self.engine);
        let ty = self
            .hosts
            .get(&mut scratch, namespace, name)
            .ok()?
            .ty(&scratch);
        Some((Source::Host(namespace.into(), name.into()), ty))
    }
}

/// Whether the types match; other kinds than functions are left to wasmtime.
fn check(import: &ImportType, found: &ExternType) -> Result<()> {
    let fits = match (import.ty(), found) {
        (ExternType::Func(expected), ExternType::Func(found)) => found.matches(&expected),
        (ExternType::Func(_), _) | (_, ExternType::Func(_)) => false,
        _ => true,
    };
    if fits {
        return Ok(());
    }
    let text = format!(
        "types incompatible: the plug-in imports {}::{} as {}, but it is {}",
        import.module(),
        import.name(),
        types::describe(&import.ty()),
        types::describe(found)
    );
    Err(Error::text(atoms::incompatible_import(), text))
}

impl Linked {
    /// The imports of an instance in this store, in the module's order.
    pub fn externs(
        &self,
        cx: &mut StoreContextMut<'_, StoreData>,
        hosts: &Linker<StoreData>,
        kernel: Instance,
        providers: &[Provider],
    ) -> wasmtime::Result<Vec<Extern>> {
        self.imports
            .iter()
            .map(|source| match source {
                Source::Kernel(export) => kernel.get_module_export(&mut *cx, export),
                Source::Host(namespace, name) => hosts.get(&mut *cx, namespace, name).ok(),
                Source::Link(index, name) => match providers.get(*index) {
                    Some(Provider::Instance(instance)) => instance.get_export(&mut *cx, name),
                    Some(Provider::Command(linker)) => linker.get(&mut *cx, "", name).ok(),
                    None => None,
                },
            })
            .map(|found| {
                found.ok_or_else(|| wasmtime::Error::msg("an import is not there any more"))
            })
            .collect()
    }

    /// Makes the module available to those after it.
    pub async fn provide(
        &self,
        cx: &mut StoreContextMut<'_, StoreData>,
        imports: &[Extern],
    ) -> wasmtime::Result<Provider> {
        cx.data_mut().count_instance(None);
        if self.kind == LinkKind::Library {
            let instance = Instance::new_async(&mut *cx, &self.module, imports).await?;
            return Ok(Provider::Instance(instance));
        }
        let mut linker = Linker::new(self.module.engine());
        linker.allow_shadowing(true);
        for (import, external) in self.module.imports().zip(imports) {
            linker.define(&mut *cx, import.module(), import.name(), external.clone())?;
        }
        // Its own imports cannot come from "", which no module has as its name.
        linker.module_async(&mut *cx, "", &self.module).await?;
        Ok(Provider::Command(linker))
    }
}
