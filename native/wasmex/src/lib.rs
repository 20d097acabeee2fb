//! The NIF library behind `Wasmex.Native`: wasmtime, driven one slice at a time by BEAM processes.
//!
//! One resource, one file (`engine`, `module`, `store`, `instance`, `memory`, …). The machinery they
//! share: `store_cell` decides who may use a store, `driving` polls a guest call (`execution`), `handoff`
//! carries what passes between a NIF and the guest's fiber during one poll, `waker` and `ticker` say
//! when to poll again.

mod access;
mod atoms;
mod budget;
mod byte_queue;
mod compiling;
mod component;
mod core_dump;
mod driving;
mod engine;
mod engine_config;
mod error;
mod execution;
mod export;
mod fast_nif;
mod func;
mod global;
mod handoff;
mod http_body;
mod http_client;
mod imports;
mod inherited;
mod instance;
mod interrupt;
mod job;
mod linker;
mod live;
mod memory;
mod module;
mod network;
mod pipe;
mod pipe_state;
mod pipe_stream;
mod profiler;
mod reference;
mod runtime;
mod signature;
mod stacks;
mod store;
mod store_cell;
mod store_data;
mod table;
mod tag;
mod term_box;
mod ticker;
mod trace;
mod turns;
mod types;
mod values;
mod waits;
mod waker;
mod wakeup;
mod wasi;
mod wasi_p2;
mod wasi_trace;
mod wat;
mod wit;

use rustler::{Env, Term};

fn load(env: Env, _info: Term) -> bool {
    env.register::<engine::EngineResource>().is_ok()
        && env.register::<module::ModuleResource>().is_ok()
        && env.register::<store_cell::StoreCell>().is_ok()
        && env.register::<instance::InstanceResource>().is_ok()
        && env.register::<linker::TemplateResource>().is_ok()
        && env.register::<memory::MemoryResource>().is_ok()
        && env.register::<table::TableResource>().is_ok()
        && env.register::<global::GlobalResource>().is_ok()
        && env.register::<tag::TagResource>().is_ok()
        && env.register::<func::FuncResource>().is_ok()
        && env.register::<reference::ReferenceResource>().is_ok()
        && env.register::<pipe::PipeResource>().is_ok()
        && env.register::<http_client::ExchangeResource>().is_ok()
        && component::resource::register(env)
}

rustler::init!("Elixir.Wasmex.Native", load = load);
