//! Engines: compiler settings, and the state shared by their stores and modules.

#[cfg(feature = "compiler")]
use crate::core::compile::Which;
use crate::core::door;
use crate::core::engine_config;
use crate::core::fingerprint;
use crate::guest::data::{StoreData, Traps};
use crate::guest::hosts::{Hosts, Linkers};
use crate::guest::ticker::Ticks;
use crate::vm::atoms;
#[cfg(feature = "compiler")]
use crate::vm::compiling;
use crate::vm::error::Error;
use crate::vm::live::{Kind, Live};
use crate::vm::mappings::Cost;
use crate::vm::options::Options;
use crate::vm::resource::{Named, ResourceArc, named_resource};
#[cfg(feature = "compiler")]
use crate::vm::term_box::TermBox;
use crate::vm::terms;
#[cfg(feature = "compiler")]
use rustler::{Atom, Binary};
use rustler::{Encoder, Env, Term};
use scan::{Limit, Limits};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::{Engine, Linker, component};

/// An engine.
pub struct EngineResource {
    /// wasmtime's engine.
    pub engine: Engine,
    /// Keeps its epoch ticks coming.
    pub ticks: Arc<Ticks>,
    /// Limits for code that is compiled for it.
    pub limits: Limits,
    /// Number of mappings that its guests need.
    pub cost: Cost,
    /// What its guests' traps do.
    pub traps: Traps,
    linkers: Linkers,
    /// Identifies its artefacts.
    fingerprint: u64,
    /// The compiler settings, for the compiler process.
    settings: Vec<u8>,
    /// Elixir's directory for compiled code. wasmtime's own cache trusts anyone who can write there.
    cache: Option<String>,
    _live: Live,
}

named_resource!(EngineResource, "engine");
impl std::panic::RefUnwindSafe for EngineResource {}

impl EngineResource {
    /// From the options of `Wasmex.EngineConfig`.
    fn new(options: &Options) -> wasmtime::Result<Self> {
        let mut limits = door::limits(&options.get("limits")?)?;
        let mut settings = engine_config::settings(options)?;
        limits.read_debug(settings.reads_debug());
        settings.limits = Limit::ALL.iter().map(|limit| limits.get(*limit)).collect();
        let engine = Engine::new(&engine_config::build(options, &settings)?)?;
        Ok(EngineResource {
            limits,
            ticks: Arc::new(Ticks::of(engine.weak())),
            engine,
            cost: engine_config::cost(options)?,
            traps: engine_config::traps(options)?,
            linkers: Linkers::default(),
            fingerprint: fingerprint::of(&settings),
            settings: settings.to_bytes(),
            cache: options.get("cache")?,
            _live: Live::new(Kind::Engine),
        })
    }

    /// A linker with the required host modules. If any are granted, other definitions may replace theirs.
    pub fn linker(&self, granted: Hosts, needed: Hosts) -> wasmtime::Result<Linker<StoreData>> {
        let mut linker = self.linkers.core(&self.engine, needed)?;
        linker.allow_shadowing(granted.has_core());
        Ok(linker)
    }

    /// The same for components.
    pub fn component_linker(&self, hosts: Hosts) -> wasmtime::Result<component::Linker<StoreData>> {
        let mut linker = self.linkers.component(&self.engine, hosts)?;
        linker.allow_shadowing(true);
        Ok(linker)
    }
}

#[rustler::nif(schedule = "DirtyCpu")]
fn engine_new<'a>(env: Env<'a>, config: Options<'a>) -> Term<'a> {
    match EngineResource::new(&config) {
        Ok(engine) => (atoms::ok(), ResourceArc::new(engine)).encode(env),
        Err(error) => Error::chain(atoms::config(), &error).to_term(env),
    }
}

/// An engine, and the VM's type of its handles: another one after the library was loaded again.
struct Shared {
    kind: usize,
    engine: Option<ResourceArc<EngineResource>>,
}

/// The engine shared by stores that name none.
#[rustler::nif(schedule = "DirtyCpu")]
fn engine_default<'a>(env: Env<'a>, config: Options<'a>) -> Term<'a> {
    static DEFAULT: Mutex<Option<Shared>> = Mutex::new(None);
    let kind = EngineResource::kind().load(Ordering::Acquire).addr();
    let mut shared = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
    if shared.as_ref().is_none_or(|shared| shared.kind != kind) {
        let engine = EngineResource::new(&config).ok().map(ResourceArc::new);
        *shared = Some(Shared { kind, engine });
    }
    match shared.as_ref().and_then(|shared| shared.engine.as_ref()) {
        Some(engine) => (atoms::ok(), engine).encode(env),
        None => Error::text(
            atoms::config(),
            "the default engine can't be made on this machine",
        )
        .to_term(env),
    }
}

/// An artefact of a module or a component, sent as a message: see `vm/compiling.rs`.
#[cfg(feature = "compiler")]
#[rustler::nif]
fn engine_precompile<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    kind: Atom,
    bytes: Binary<'a>,
    reference: Term<'a>,
    most: usize,
    which: Which,
) -> Term<'a> {
    let code = TermBox::new(bytes.to_term(env));
    let component = kind == atoms::component();
    compiling::begin(
        env,
        (reference, most),
        bytes.len(),
        move || {
            which.check(code.bytes(), &engine.limits)?;
            compiling::checked(match component {
                true => engine.engine.precompile_component(code.bytes()),
                false => engine.engine.precompile_module(code.bytes()),
            })
        },
        |env, artefact| (atoms::ok(), terms::binary(env, &artefact)).encode(env),
    )
}

/// Differs whenever artefacts of one engine do not fit the other.
#[rustler::nif]
fn engine_fingerprint(engine: ResourceArc<EngineResource>) -> u64 {
    engine.fingerprint
}

/// The settings for the compiler process, as bytes.
#[rustler::nif]
fn engine_settings<'a>(env: Env<'a>, engine: ResourceArc<EngineResource>) -> Term<'a> {
    terms::binary(env, &engine.settings)
}

/// The directory of its disk cache, or nil.
#[rustler::nif]
fn engine_cache(engine: ResourceArc<EngineResource>) -> Option<String> {
    engine.cache.clone()
}

/// Identifies the build: the compiler process must come from the same one.
#[rustler::nif]
fn engine_build() -> &'static str {
    wasmex_settings::BUILD
}
