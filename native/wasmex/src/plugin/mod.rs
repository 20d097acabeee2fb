//! Plug-ins: the ABI of Extism, with host functions in Elixir.
//!
//! It may use all other layers; none of them uses it.

mod abi;
mod blocks;
pub mod call;
mod exchange;
mod functions;
mod held;
mod host;
mod http;
pub mod instance;
mod kernel;
mod link;
mod log;
mod memory;
mod requests;
mod state;
pub mod template;
mod vars;

use rustler::Env;

/// Registers the resources of this layer.
pub fn register(env: Env) -> bool {
    crate::vm::resource::register::<template::PluginTemplate>(env)
        && crate::vm::resource::register::<instance::PluginResource>(env)
        && crate::vm::resource::register::<held::HeldTerm>(env)
}
