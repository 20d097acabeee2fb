//! The NIF library behind `Wasmex.Native`: wasmtime, driven one slice at a time by BEAM processes.
//!
//! Six rooms, each of which may use those before it: `vm` speaks to the BEAM, `wasi` is what guests reach, `guest` runs
//! them, `core` has the resources of core WebAssembly, `observe` shows guests at work, `component` is the component model.

mod component;
mod core;
mod guest;
mod observe;
mod vm;
mod wasi;

use rustler::{Env, Term};

fn load(env: Env, _info: Term) -> bool {
    env.register::<core::engine::EngineResource>().is_ok()
        && env.register::<core::module::ModuleResource>().is_ok()
        && env.register::<guest::cell::StoreCell>().is_ok()
        && env.register::<core::instance::InstanceResource>().is_ok()
        && env.register::<core::linker::TemplateResource>().is_ok()
        && env.register::<core::memory::MemoryResource>().is_ok()
        && env.register::<core::table::TableResource>().is_ok()
        && env.register::<core::global::GlobalResource>().is_ok()
        && env.register::<core::tag::TagResource>().is_ok()
        && env.register::<core::func::FuncResource>().is_ok()
        && env.register::<core::reference::ReferenceResource>().is_ok()
        && env.register::<wasi::pipe::PipeResource>().is_ok()
        && env
            .register::<wasi::http::client::ExchangeResource>()
            .is_ok()
        && component::resource::register(env)
}

rustler::init!("Elixir.Wasmex.Native", load = load);
