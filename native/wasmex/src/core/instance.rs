//! Instances, and their exports by name.

use crate::core::global::GlobalResource;
use crate::core::memory::MemoryResource;
use crate::core::table::TableResource;
use crate::core::tag::TagResource;
use crate::core::types;
use crate::guest::access;
use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::funcref::FuncResource;
use crate::guest::job::{Call, Job};
use crate::guest::signature::Signature;
use crate::guest::values::Floats;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::error::{Error, Result};
use crate::vm::fast_nif::{self, fast_nif};
use crate::vm::host_error::host_error;
use crate::vm::live::{Kind, Live};
use crate::vm::names::Names;
use crate::vm::resource::{Argument, ResourceArc, named_resource};
use rustler::{Atom, Binary, Encoder, Env, NifResult, Term};
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wasmtime::{Extern, ExternType, Instance, Module, StoreContextMut};

/// An instance of a core module.
pub struct InstanceResource {
    /// Its store.
    pub cell: ResourceArc<StoreCell>,
    /// wasmtime's instance.
    pub instance: Instance,
    module: Module,
    /// The name of its memory, see [`crate::core::memory::name`].
    memory: Option<Arc<str>>,
    /// Functions called before: a lookup in wasmtime costs more than the call.
    signatures: Names<Signature>,
    /// `_initialize` has already been called; programs may call it again out of habit.
    initialized: AtomicBool,
    _live: Live,
}

named_resource!(InstanceResource, "instance");
impl std::panic::RefUnwindSafe for InstanceResource {}

/// Maximum number of existing exports listed in an error: a module can have a hundred thousand.
pub const LOOKED_THROUGH: usize = 1000;

/// Bytes of the longest name among them. Nobody types a longer one, and a thousand names may take megabytes.
const LISTED: usize = 256;

/// The names of exports for an error.
pub fn listed<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    names
        .take(LOOKED_THROUGH)
        .filter(|name| name.len() <= LISTED)
        .map(String::from)
        .collect()
}

host_error! {
    /// The instance has no export with this name and kind.
    pub struct UnknownExport = unknown_export {
        /// A function, a memory, and so on.
        kind: Atom,
        /// The requested name.
        name: String,
        /// Exports of this kind, among the first few exports.
        names: Vec<String>,
    }
}

impl InstanceResource {
    /// `memory` is the name of the module's memory. `initialized`: its `_initialize` has been called.
    pub fn new(
        cell: ResourceArc<StoreCell>,
        instance: Instance,
        (module, memory): (Module, Option<Arc<str>>),
        initialized: bool,
    ) -> ResourceArc<Self> {
        ResourceArc::new(InstanceResource {
            cell,
            instance,
            module,
            memory,
            signatures: Names::default(),
            initialized: AtomicBool::new(initialized),
            _live: Live::new(Kind::Instance),
        })
    }

    /// Its module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The name of its memory, if it has one, see [`crate::core::memory::name`].
    pub fn memory(&self) -> Option<&str> {
        self.memory.as_deref()
    }

    /// An exported function.
    pub fn signature(
        &self,
        cx: StoreContextMut<'_, StoreData>,
        name: &str,
    ) -> Result<Arc<Signature>> {
        match self.signatures.get(name.as_bytes()) {
            Some(signature) => Ok(signature),
            None => self.look_up(cx, name),
        }
    }

    fn look_up(
        &self,
        mut cx: StoreContextMut<'_, StoreData>,
        name: &str,
    ) -> Result<Arc<Signature>> {
        let Some(func) = self.instance.get_func(&mut cx, name) else {
            return Err(self.unknown(atoms::func(), name));
        };
        let signature = Arc::new(Signature::new(&cx, func));
        self.signatures.keep(name.as_bytes(), &signature);
        Ok(signature)
    }

    fn unknown(&self, kind: Atom, name: &str) -> Error {
        let same_kind = |ty: ExternType| match ty {
            ExternType::Func(_) => kind == atoms::func(),
            ExternType::Global(_) => kind == atoms::global(),
            ExternType::Table(_) => kind == atoms::table(),
            ExternType::Memory(_) => kind == atoms::memory(),
            ExternType::Tag(_) => kind == atoms::tag(),
        };
        let exports = self.module.exports().take(LOOKED_THROUGH);
        let exports = exports.filter(|export| same_kind(export.ty()));
        UnknownExport {
            kind,
            name: name.to_string(),
            names: listed(exports.map(|export| export.name())),
        }
        .into()
    }
}

fn text<'a>(name: &'a Binary<'_>) -> &'a str {
    // Export names are UTF-8, so an invalid name matches none.
    std::str::from_utf8(name).unwrap_or("\u{fffd}")
}

/// Whether telemetry wants spans of calls.
static OBSERVED: AtomicBool = AtomicBool::new(false);

/// From now on, calls by way of `:unobserved` return `:observed` and do nothing: Elixir need not look up for each call
/// whether to begin a span.
#[rustler::nif]
fn instance_observe_calls(wanted: bool) -> Atom {
    OBSERVED.store(wanted, Ordering::Relaxed);
    atoms::ok()
}

fast_nif!(instance_call / 5);
fn instance_call<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> NifResult<Term<'a>> {
    called(env, args, Floats::Values, c"instance_call")
}

fast_nif!(instance_call_bits / 5);
/// The same, with floats in the results as `{:bits, n}`.
fn instance_call_bits<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> NifResult<Term<'a>> {
    called(env, args, Floats::Bits, c"instance_call_bits")
}

fn called<'a>(
    env: Env<'a>,
    args: [Term<'a>; 5],
    floats: Floats,
    nif: &'static CStr,
) -> NifResult<Term<'a>> {
    let [instance, name, params, fuel, via] = args;
    if via.as_c_arg() == atoms::unobserved().as_c_arg() && OBSERVED.load(Ordering::Relaxed) {
        return Ok(atoms::observed().to_term(env));
    }
    let instance: Argument<InstanceResource> = instance.decode()?;
    let name: Binary = name.decode()?;
    let fuel = fast_nif::option(fuel)?;
    let called = call(env, &instance, &name, params, fuel, via.decode()?, floats);
    Ok(called.unwrap_or_else(|| dirty::again(env, nif, &args)))
}

/// `None` if the arguments are too large for this scheduler.
fn call<'a>(
    env: Env<'a>,
    instance: &ResourceArc<InstanceResource>,
    name: &Binary,
    params: Term<'a>,
    fuel: Option<u64>,
    via: Via,
    floats: Floats,
) -> Option<Term<'a>> {
    let started =
        || name.as_slice() == b"_initialize" && instance.initialized.swap(false, Ordering::Relaxed);
    let job = |signature: Arc<Signature>| -> Result<Job<Call>> {
        let args = signature.args(params)?;
        Ok(Job::call(signature, args, floats, fuel))
    };
    match instance.signatures.get(name) {
        _ if started() => Some((atoms::ok(), Term::list_new_empty(env)).encode(env)),
        Some(signature) => match job(signature) {
            Ok(job) => Some(drive::begin(env, &instance.cell, via, job)),
            Err(Error::Large) => None,
            Err(error) => Some(error.to_term(env)),
        },
        None => {
            let mut large = false;
            let step = drive::begin_found(env, &instance.cell, via, |cx| {
                let job = job(instance.look_up(cx, text(name))?);
                large = matches!(job, Err(Error::Large));
                job
            });
            (!large).then_some(step)
        }
    }
}

/// The type of an export, from the module; nil if there is none.
#[rustler::nif]
fn instance_export_type<'a>(
    env: Env<'a>,
    instance: ResourceArc<InstanceResource>,
    name: Binary<'a>,
) -> Term<'a> {
    match instance.module.get_export(text(&name)) {
        Some(ty) => types::external(env, &ty),
        None => atoms::nil().encode(env),
    }
}

/// `[{name, type}]` in the module's order.
#[rustler::nif(schedule = "DirtyCpu")]
fn instance_exports<'a>(env: Env<'a>, instance: ResourceArc<InstanceResource>) -> Term<'a> {
    let exports = instance.module.exports();
    exports
        .map(|export| (export.name(), types::external(env, &export.ty())))
        .collect::<Vec<_>>()
        .encode(env)
}

#[rustler::nif]
fn instance_store(instance: ResourceArc<InstanceResource>) -> ResourceArc<StoreCell> {
    instance.cell.clone()
}

/// `{:ok, {kind, resource}}` for a memory, global, table or function.
#[rustler::nif]
fn instance_export<'a>(
    env: Env<'a>,
    instance: ResourceArc<InstanceResource>,
    kind: Atom,
    name: Binary<'a>,
    via: Via,
) -> Term<'a> {
    let name = text(&name);
    access::reply(env, &instance.cell, via, |mut cx| {
        let external = instance.instance.get_export(&mut cx, name);
        wrap(env, &instance, cx, external, kind).ok_or_else(|| instance.unknown(kind, name))
    })
}

fn wrap<'a>(
    env: Env<'a>,
    instance: &ResourceArc<InstanceResource>,
    cx: StoreContextMut<'_, StoreData>,
    external: Option<Extern>,
    kind: Atom,
) -> Option<Term<'a>> {
    let cell = instance.cell.clone();
    let is = |wanted: Atom| wanted == kind;
    Some(match external? {
        Extern::Func(func) if is(atoms::func()) => {
            FuncResource::new(cell, Arc::new(Signature::new(&cx, func))).encode(env)
        }
        Extern::Memory(memory) if is(atoms::memory()) => {
            MemoryResource::new(cell, memory).encode(env)
        }
        Extern::Table(table) if is(atoms::table()) => TableResource::new(cell, table).encode(env),
        Extern::Tag(tag) if is(atoms::tag()) => TagResource::new(cell, tag).encode(env),
        Extern::Global(global) if is(atoms::global()) => {
            GlobalResource::new(cell, global).encode(env)
        }
        _ => return None,
    })
}

/// The instance's memory (see [`crate::core::memory::name`]); nil if it has none.
#[rustler::nif]
fn instance_memory<'a>(
    env: Env<'a>,
    instance: ResourceArc<InstanceResource>,
    via: Via,
) -> Term<'a> {
    access::reply(env, &instance.cell, via, |mut cx| {
        let name = instance.memory();
        let memory = name.and_then(|name| instance.instance.get_memory(&mut cx, name));
        Ok(memory
            .map(|memory| MemoryResource::new(instance.cell.clone(), memory))
            .encode(env))
    })
}
