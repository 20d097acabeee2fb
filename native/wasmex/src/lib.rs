//! The NIF library behind `Wasmex.Native`: wasmtime, driven one slice at a time by BEAM processes.
//!
//! Seven layers, each of which may use those before it: `vm` interfaces with the BEAM, `wasi` implements WASI, `guest`
//! runs guests, `core` has the resources of core WebAssembly, `observe` has traces and profiles, `component` is the
//! component model, `plugin` is the ABI of Extism.

// What only serves a feature that is left out, or sockets on other systems, stays as dead code that the linker removes.
#![cfg_attr(
    not(all(
        unix,
        feature = "compiler",
        feature = "components",
        feature = "plugins",
        feature = "wat"
    )),
    allow(dead_code, unused_imports)
)]

#[cfg(feature = "components")]
mod component;
mod core;
mod guest;
mod observe;
#[cfg(feature = "plugins")]
mod plugin;
mod vm;
mod wasi;

use guest::data::StoreData;
use guest::extension::Extension;
use rustler::{Env, Term};
use vm::host_error;
use wasi::host::HostModule;

/// Host modules that guests may import.
static HOST_MODULES: &[HostModule<StoreData>] = &[
    wasi::p1::host_module().traced(observe::wasi_trace::add_to_linker),
    wasi::sockets::host_module().traced(observe::wasi_trace::add_sockets),
    wasi::sockets::host_module_v1().traced(observe::wasi_trace::add_sockets_v1),
    wasi::sockets::host_module_v2().traced(observe::wasi_trace::add_sockets_v2),
    wasi::sockets::recv_from().traced(observe::wasi_trace::add_recv_from),
    wasi::sockets::recv_from_v1().traced(observe::wasi_trace::add_recv_from_v1),
    #[cfg(feature = "components")]
    wasi::p2::host_module().for_components(component::wasi::add_to_linker),
];

/// Errors that host functions leave in a guest.
static GUEST_ERRORS: &[host_error::Find] = &[
    host_error::find::<wasmtime_wasi::I32Exit>,
    host_error::find::<wasi::budget::OutputLimit>,
    host_error::find::<vm::mappings::MappingLimit>,
    host_error::find::<guest::data::OverLimit>,
    host_error::find::<guest::data::HeapFull>,
    host_error::find::<guest::suspension::ImportRaised>,
    host_error::find::<core::import::BadResults>,
    #[cfg(feature = "components")]
    host_error::find::<component::problem::BadValue>,
];

/// Extensions of stores.
static EXTENSIONS: [&dyn Extension; 3] = [
    &observe::trace::Tracing,
    &observe::profiler::Profiling,
    &observe::core_dump::CoreDumps,
];

fn load(env: Env, _info: Term) -> bool {
    vm::pinned::pin();
    // With `RUST_BACKTRACE` each error would walk through the host's stack, and a guest can make that thousands of frames.
    wasmtime::error::disable_backtrace();
    #[cfg(feature = "wat")]
    core::wat::accept_older_text();
    vm::panics::quieten_parsers();
    vm::layouts::check(env);
    guest::hosts::register(HOST_MODULES);
    guest::extension::register(&EXTENSIONS);
    vm::long::register(guest::handoff::Stay::boxed);
    host_error::register(GUEST_ERRORS);
    vm::resource::register::<vm::child::ChildResource>(env)
        && register_compiler(env)
        && vm::resource::register::<core::engine::EngineResource>(env)
        && vm::resource::register::<core::module::ModuleResource>(env)
        && vm::resource::register::<guest::cell::StoreCell>(env)
        && vm::resource::register::<core::instance::InstanceResource>(env)
        && vm::resource::register::<core::template::TemplateResource>(env)
        && vm::resource::register::<core::memory::MemoryResource>(env)
        && vm::resource::register::<core::table::TableResource>(env)
        && vm::resource::register::<core::global::GlobalResource>(env)
        && vm::resource::register::<core::tag::TagResource>(env)
        && vm::resource::register::<guest::funcref::FuncResource>(env)
        && vm::resource::register::<guest::host_term::Withheld>(env)
        && vm::resource::register::<guest::reference::ReferenceResource>(env)
        && vm::resource::register::<wasi::pipe::PipeResource>(env)
        && wasi::sockets::register(env)
        && vm::resource::register::<wasi::http::function::ExchangeResource>(env)
        && vm::resource::register::<wasi::http::fetch::FetchResource>(env)
        && register_components(env)
        && register_plugins(env)
}

#[cfg(feature = "compiler")]
fn register_compiler(env: Env) -> bool {
    vm::resource::register::<vm::compiling::CompileResource>(env)
}

#[cfg(feature = "components")]
fn register_components(env: Env) -> bool {
    component::resource::register(env)
}

#[cfg(feature = "plugins")]
fn register_plugins(env: Env) -> bool {
    plugin::register(env)
}

#[cfg(not(feature = "compiler"))]
fn register_compiler(_env: Env) -> bool {
    true
}

#[cfg(not(feature = "components"))]
fn register_components(_env: Env) -> bool {
    true
}

#[cfg(not(feature = "plugins"))]
fn register_plugins(_env: Env) -> bool {
    true
}

/// The features that this library was built with.
#[rustler::nif]
fn features() -> Vec<&'static str> {
    [
        (cfg!(feature = "compiler"), "compiler"),
        (cfg!(feature = "components"), "components"),
        (cfg!(feature = "plugins"), "plugins"),
        (cfg!(feature = "wat"), "wat"),
    ]
    .into_iter()
    .filter_map(|(built, name)| built.then_some(name))
    .collect()
}

rustler::init!("Elixir.Wasmex.Native", load = load);
