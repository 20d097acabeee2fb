//! Reads WIT worlds, from text or from a component, as terms for `Wasmex.WIT`.

use crate::component::wit_extent;
use crate::core::door;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::terms;
use rustler::{Atom, Binary, Encoder, Env, NifResult, Term};
use scan::{Limit, Limits, Refusal, Wit};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{
    Docs, Function, FunctionKind, Handle, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeId,
    TypeOwner, WorldId, WorldItem, WorldKey,
};

/// `source` is `{:text, label, text}`, `{:path, path}` or `{:component, bytes}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn wit_world<'a>(
    env: Env<'a>,
    source: Term<'a>,
    world: Option<String>,
    limits: Term,
) -> NifResult<Term<'a>> {
    let source = Source::decode(source)?;
    let limits = door::limits_of(limits)?;
    let read = || resolve(&source, world.as_deref());
    let resolved = source
        .check(&limits)
        .and_then(|()| door::on_deep_stack(read));
    let resolved = resolved.and_then(|resolved| resolved);
    Ok(
        match resolved.and_then(|resolved| bounded(resolved, &limits)) {
            Ok((resolve, world)) => {
                let describer = Describer {
                    env,
                    resolve: &resolve,
                    types: RefCell::default(),
                    owners: RefCell::default(),
                    interfaces: RefCell::default(),
                };
                (atoms::ok(), describer.world(world)).encode(env)
            }
            Err(error) => error.to_term(env),
        },
    )
}

type Resolved = std::result::Result<(Resolve, WorldId), String>;

/// The source of a world.
enum Source {
    Text { label: String, text: String },
    Path(PathBuf),
    Component(Vec<u8>),
}

impl Source {
    fn decode(term: Term) -> NifResult<Self> {
        if let Ok((kind, bytes)) = term.decode::<(Atom, Binary)>() {
            return Ok(match kind == atoms::component() {
                true => Source::Component(bytes.to_vec()),
                false => Source::Path(String::from_utf8_lossy(&bytes).into_owned().into()),
            });
        }
        let (_text, label, text): (Atom, String, String) = term.decode()?;
        Ok(Source::Text { label, text })
    }

    fn check(&self, limits: &Limits) -> Result<()> {
        match self {
            Source::Text { text, .. } => door::wit(text.as_bytes(), &mut Wit::new(limits)),
            Source::Path(path) => check_path(path, DEPS, limits, &mut Wit::new(limits)),
            Source::Component(bytes) => check_component(bytes, limits),
        }
    }
}

/// Nesting of the folders of dependencies (`deps/name`) below a package's folder.
const DEPS: usize = 2;

/// The files that the parser would read, in a folder and below. Unreadable ones are left to the parser to report.
fn check_path(path: &Path, deeper: usize, limits: &Limits, files: &mut Wit) -> Result<()> {
    if path.is_dir() {
        let entries = path.read_dir().into_iter().flatten().flatten();
        for entry in entries.filter(|entry| deeper > 0 || entry.path().is_file()) {
            check_path(&entry.path(), deeper.saturating_sub(1), limits, files)?;
        }
        return Ok(());
    }
    // The parser reads whatever it is given, but only some files of a folder.
    let extension = path.extension().and_then(|extension| extension.to_str());
    if deeper < DEPS && !matches!(extension, Some("wit" | "wasm" | "wat")) {
        return Ok(());
    }
    let bytes = contents(path, limits)?;
    match bytes.starts_with(b"\0asm") {
        true => check_component(&bytes, limits),
        false => door::wit(&bytes, files),
    }
}

/// The bytes of a file. The parser would wait for those of a FIFO, and read devices without an end.
fn contents(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let Ok(metadata) = path.metadata() else {
        return Ok(vec![]);
    };
    if !metadata.is_file() {
        let text = format!(
            "Failed to parse WIT: {} is not a regular file",
            path.display()
        );
        return Err(Error::text(atoms::wit(), text));
    }
    let (value, most) = (metadata.len(), limits.get(Limit::Size));
    if value > most {
        return Err(Error::from(Refusal::Exceeded {
            limit: Limit::Size,
            value,
            most,
            offset: 0,
        }));
    }
    Ok(std::fs::read(path).unwrap_or_default())
}

/// The parser allocates what the sections of a core module claim, so that those are rejected here; it reads components
/// only. The scan rejects components with such sections.
fn check_component(bytes: &[u8], limits: &Limits) -> Result<()> {
    if scan::is_module(bytes) {
        let text = "Failed to parse WIT: expected a component or a WIT package, got a core module";
        return Err(Error::text(atoms::wit(), text));
    }
    door::binary(bytes, limits)
}

/// Refuses a world that is too large once it is described.
fn bounded(resolved: (Resolve, WorldId), limits: &Limits) -> Result<(Resolve, WorldId)> {
    let value = wit_extent::parts(&resolved.0, resolved.1);
    let (limit, most) = (Limit::TypeMembers, limits.get(Limit::TypeMembers));
    match value <= most {
        true => Ok(resolved),
        false => Err(Error::from(Refusal::Exceeded {
            limit,
            value,
            most,
            offset: 0,
        })),
    }
}

fn resolve(source: &Source, world: Option<&str>) -> Result<(Resolve, WorldId)> {
    let resolved = match source {
        Source::Text { label, text } => packages(world, |resolve| {
            resolve.push_str(Path::new(label), &scan::without_empty_comments(text))
        }),
        Source::Path(path) => packages(world, |resolve| {
            resolve.push_path(path).map(|(package, _)| package)
        }),
        Source::Component(bytes) => component(bytes),
    };
    resolved.map_err(|message| Error::Text(atoms::wit(), message))
}

fn packages<E: Into<anyhow::Error>>(
    world: Option<&str>,
    push: impl FnOnce(&mut Resolve) -> std::result::Result<wit_parser::PackageId, E>,
) -> Resolved {
    let mut resolve = Resolve::default();
    let package = match push(&mut resolve) {
        Ok(package) => package,
        Err(error) => {
            // Includes the source location, if there is one.
            let rendered = resolve.render_error(&error.into());
            return Err(format!("Failed to parse WIT: {rendered}"));
        }
    };
    let world = resolve
        .select_world(&[package], world)
        .map_err(|error| format!("Failed to select world: {error:#}"))?;
    Ok((resolve, world))
}

fn component(bytes: &[u8]) -> Resolved {
    match decode(bytes) {
        Ok(DecodedWasm::Component(resolve, world)) => Ok((resolve, world)),
        Ok(DecodedWasm::WitPackage(resolve, package)) => {
            let world = resolve
                .select_world(&[package], None)
                .map_err(|error| format!("Failed to select world: {error:#}"))?;
            Ok((resolve, world))
        }
        Err(error) => Err(format!("Failed to parse WIT: {error:#}")),
    }
}

/// A type may be used a million times, and its names may be long, so each is written once; an interface, too, may be
/// imported under many names.
struct Describer<'a, 'r> {
    env: Env<'a>,
    resolve: &'r Resolve,
    types: RefCell<HashMap<TypeId, Term<'a>>>,
    owners: RefCell<HashMap<InterfaceId, Term<'a>>>,
    interfaces: RefCell<HashMap<InterfaceId, Term<'a>>>,
}

impl<'a> Describer<'a, '_> {
    fn pairs(&self, pairs: &[(Atom, Term<'a>)]) -> Term<'a> {
        terms::map(self.env, pairs)
    }

    fn docs(&self, docs: &Docs) -> Term<'a> {
        docs.contents.encode(self.env)
    }

    fn world(&self, id: WorldId) -> Term<'a> {
        let world = &self.resolve.worlds[id];
        let items = |items: &mut dyn Iterator<Item = (&WorldKey, &WorldItem)>| {
            items
                .map(|(key, item)| self.item(key, item))
                .collect::<Vec<_>>()
                .encode(self.env)
        };
        self.pairs(&[
            (atoms::name(), world.name.encode(self.env)),
            (atoms::docs(), self.docs(&world.docs)),
            (atoms::imports(), items(&mut world.imports.iter())),
            (atoms::exports(), items(&mut world.exports.iter())),
        ])
    }

    fn item(&self, key: &WorldKey, item: &WorldItem) -> Term<'a> {
        let name = self.resolve.name_world_key(key);
        match item {
            WorldItem::Interface { id, .. } => {
                (atoms::interface(), name, self.interface(*id)).encode(self.env)
            }
            WorldItem::Function(function) => {
                (atoms::func(), name, self.function(function)).encode(self.env)
            }
            WorldItem::Type { id, .. } => (
                atoms::type_(),
                name,
                self.type_def(&self.resolve.types[*id]),
            )
                .encode(self.env),
        }
    }

    fn interface(&self, id: InterfaceId) -> Term<'a> {
        let describe = || self.new_interface(id);
        *self
            .interfaces
            .borrow_mut()
            .entry(id)
            .or_insert_with(describe)
    }

    fn new_interface(&self, id: InterfaceId) -> Term<'a> {
        let interface = &self.resolve.interfaces[id];
        let types: Vec<Term> = interface
            .types
            .iter()
            .map(|(name, id)| (name, self.type_def(&self.resolve.types[*id])).encode(self.env))
            .collect();
        let functions: Vec<Term> = interface
            .functions
            .values()
            .map(|function| self.function(function))
            .collect();
        self.pairs(&[
            (atoms::name(), interface.name.encode(self.env)),
            (atoms::docs(), self.docs(&interface.docs)),
            (atoms::types_(), types.encode(self.env)),
            (atoms::functions(), functions.encode(self.env)),
        ])
    }

    fn function(&self, function: &Function) -> Term<'a> {
        let params: Vec<(&str, Term)> = function
            .params
            .iter()
            .map(|param| (param.name.as_str(), self.ty(&param.ty)))
            .collect();
        let resource = |id: &TypeId| self.resolve.types[*id].name.clone().unwrap_or_default();
        let (kind, resource, is_async) = match &function.kind {
            FunctionKind::Freestanding => (atoms::func(), None, false),
            FunctionKind::AsyncFreestanding => (atoms::func(), None, true),
            FunctionKind::Method(id) => (atoms::method(), Some(resource(id)), false),
            FunctionKind::AsyncMethod(id) => (atoms::method(), Some(resource(id)), true),
            FunctionKind::Static(id) => (atoms::static_(), Some(resource(id)), false),
            FunctionKind::AsyncStatic(id) => (atoms::static_(), Some(resource(id)), true),
            FunctionKind::Constructor(id) => (atoms::constructor(), Some(resource(id)), false),
        };
        self.pairs(&[
            (atoms::name(), function.name.encode(self.env)),
            (atoms::docs(), self.docs(&function.docs)),
            (atoms::kind(), kind.encode(self.env)),
            (atoms::resource(), resource.encode(self.env)),
            (atoms::async_(), is_async.encode(self.env)),
            (atoms::params(), params.encode(self.env)),
            (
                atoms::result(),
                function
                    .result
                    .as_ref()
                    .map(|ty| self.ty(ty))
                    .encode(self.env),
            ),
        ])
    }

    fn type_def(&self, ty: &TypeDef) -> Term<'a> {
        self.pairs(&[
            (atoms::docs(), self.docs(&ty.docs)),
            (atoms::type_(), self.kind(&ty.kind)),
        ])
    }

    fn ty(&self, ty: &Type) -> Term<'a> {
        let atom = match ty {
            Type::Bool => atoms::bool_(),
            Type::U8 => atoms::u8_(),
            Type::U16 => atoms::u16_(),
            Type::U32 => atoms::u32_(),
            Type::U64 => atoms::u64_(),
            Type::S8 => atoms::s8(),
            Type::S16 => atoms::s16(),
            Type::S32 => atoms::s32(),
            Type::S64 => atoms::s64(),
            Type::F32 => atoms::f32(),
            Type::F64 => atoms::f64(),
            Type::Char => atoms::char_(),
            Type::String => atoms::string(),
            Type::ErrorContext => atoms::unsupported(),
            Type::Id(id) => return self.type_id(*id),
        };
        atom.encode(self.env)
    }

    /// Named types by name and owner, others as they are.
    fn type_id(&self, id: TypeId) -> Term<'a> {
        if let Some(term) = self.types.borrow().get(&id) {
            return *term;
        }
        let ty = &self.resolve.types[id];
        let term = match &ty.name {
            None => self.kind(&ty.kind),
            Some(name) => {
                let owner = match ty.owner {
                    TypeOwner::Interface(id) => self.owner(id),
                    _ => atoms::nil().encode(self.env),
                };
                (atoms::named(), owner, name).encode(self.env)
            }
        };
        self.types.borrow_mut().insert(id, term);
        term
    }

    fn owner(&self, id: InterfaceId) -> Term<'a> {
        let name = || {
            let name = self.resolve.id_of(id);
            let name = name.or_else(|| self.resolve.interfaces[id].name.clone());
            name.encode(self.env)
        };
        *self.owners.borrow_mut().entry(id).or_insert_with(name)
    }

    fn kind(&self, kind: &TypeDefKind) -> Term<'a> {
        let env = self.env;
        match kind {
            TypeDefKind::Record(record) => {
                let fields: Vec<Term> = record
                    .fields
                    .iter()
                    .map(|field| {
                        (&field.name, self.ty(&field.ty), self.docs(&field.docs)).encode(env)
                    })
                    .collect();
                (atoms::record(), fields).encode(env)
            }
            TypeDefKind::Variant(variant) => {
                let cases: Vec<Term> = variant
                    .cases
                    .iter()
                    .map(|case| {
                        let payload = case.ty.as_ref().map(|ty| self.ty(ty));
                        (&case.name, payload, self.docs(&case.docs)).encode(env)
                    })
                    .collect();
                (atoms::variant(), cases).encode(env)
            }
            TypeDefKind::Enum(cases) => {
                let names: Vec<&str> = cases.cases.iter().map(|case| case.name.as_str()).collect();
                (atoms::enum_(), names).encode(env)
            }
            TypeDefKind::Flags(flags) => {
                let names: Vec<&str> = flags.flags.iter().map(|flag| flag.name.as_str()).collect();
                (atoms::flags(), names).encode(env)
            }
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<Term> = tuple.types.iter().map(|ty| self.ty(ty)).collect();
                (atoms::tuple(), types).encode(env)
            }
            TypeDefKind::Option(ty) => (atoms::option(), self.ty(ty)).encode(env),
            TypeDefKind::Result(result) => {
                let ok = result.ok.as_ref().map(|ty| self.ty(ty));
                let error = result.err.as_ref().map(|ty| self.ty(ty));
                (atoms::result(), ok, error).encode(env)
            }
            TypeDefKind::List(ty) => (atoms::list(), self.ty(ty)).encode(env),
            TypeDefKind::Map(key, value) => {
                (atoms::map(), self.ty(key), self.ty(value)).encode(env)
            }
            TypeDefKind::FixedLengthList(ty, length) => {
                (atoms::list(), self.ty(ty), length).encode(env)
            }
            TypeDefKind::Resource => atoms::resource().encode(env),
            TypeDefKind::Handle(Handle::Own(id)) => (atoms::own(), self.type_id(*id)).encode(env),
            TypeDefKind::Handle(Handle::Borrow(id)) => {
                (atoms::borrow(), self.type_id(*id)).encode(env)
            }
            TypeDefKind::Type(ty) => (atoms::alias(), self.ty(ty)).encode(env),
            TypeDefKind::Future(_) | TypeDefKind::Stream(_) | TypeDefKind::Unknown => {
                atoms::unsupported().encode(env)
            }
        }
    }
}
