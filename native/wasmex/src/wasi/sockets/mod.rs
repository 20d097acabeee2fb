//! Sockets for preview 1, which wasmtime lacks: WasmEdge's interface in both versions, and the standard functions on
//! sockets.
//!
//! A guest's socket is a non-blocking descriptor. A guest that must wait is suspended and woken by tokio's reactor,
//! without a thread. [`crate::wasi::network`] decides what a guest may reach, as for components.

pub mod address;
pub mod addresses;
pub mod answer;
#[cfg_attr(not(unix), path = "none/connect.rs")]
pub mod connect;
pub mod descriptors;
pub mod environment;
pub mod files;
#[cfg_attr(not(unix), path = "none/handle.rs")]
pub mod handle;
#[cfg_attr(not(unix), path = "none/listener.rs")]
pub mod listener;
#[cfg_attr(not(unix), path = "none/made.rs")]
pub mod made;
pub mod memory;
#[cfg_attr(not(unix), path = "none/messages.rs")]
pub mod messages;
pub mod names;
pub mod net;
#[cfg_attr(not(unix), path = "none/options.rs")]
pub mod options;
#[cfg(unix)]
mod passed;
pub mod pending;
pub mod poll;
pub mod reach;
#[cfg(unix)]
pub mod readdir;
pub mod readiness;
#[cfg_attr(not(unix), path = "none/socket.rs")]
pub mod socket;
pub mod state;
#[cfg(unix)]
mod system;
pub mod transfer;
pub mod urls;

use crate::wasi::context::View;
use crate::wasi::host::{Add, HostModule};
use crate::wasi::link;
use crate::wasi::p1::NAMESPACE;
use wasmtime::{ImportType, Linker};

/// A host module with those functions of the namespace that `own` accepts by name and type.
const fn module<T: View>(
    name: &'static str,
    own: fn(&ImportType<'_>) -> bool,
    granted: fn(&T) -> bool,
    core: Add<Linker<T>>,
) -> HostModule<T> {
    HostModule {
        name,
        provides: |namespace| namespace == NAMESPACE,
        own: Some(own),
        granted,
        core: Some(core),
        traced: None,
        component: None,
    }
}

/// The functions of WasmEdge that are the same in both versions.
pub const fn host_module<T: View>() -> HostModule<T> {
    module(
        "wasmedge_sockets",
        is_common,
        |data| data.wasi_context().sockets().any(),
        link::sockets,
    )
}

/// The functions that differ, in version 1, selected by the types of a module's imports.
pub const fn host_module_v1<T: View>() -> HostModule<T> {
    module(
        "wasmedge_sockets_v1",
        |import| match import.name() {
            "sock_accept" => has_params(import, 2),
            "sock_getlocaladdr" | "sock_getpeeraddr" => has_params(import, 4),
            _ => false,
        },
        |data| data.wasi_context().sockets().v1(),
        link::sockets_v1,
    )
}

/// The functions that differ, in version 2.
pub const fn host_module_v2<T: View>() -> HostModule<T> {
    module(
        "wasmedge_sockets_v2",
        |import| match import.name() {
            "sock_getlocaladdr" | "sock_getpeeraddr" => has_params(import, 3),
            _ => false,
        },
        |data| data.wasi_context().sockets().v2(),
        link::sockets_v2,
    )
}

/// Messages with sender addresses, in version 2, which may be combined with version 1 of the others.
pub const fn recv_from<T: View>() -> HostModule<T> {
    module(
        "wasmedge_recv_from",
        |import| import.name() == "sock_recv_from" && has_params(import, 8),
        |data| data.wasi_context().sockets().any(),
        link::recv_from,
    )
}

/// The same in version 1.
pub const fn recv_from_v1<T: View>() -> HostModule<T> {
    module(
        "wasmedge_recv_from_v1",
        |import| import.name() == "sock_recv_from" && has_params(import, 7),
        |data| data.wasi_context().sockets().v1(),
        link::recv_from_v1,
    )
}

fn is_common(import: &ImportType<'_>) -> bool {
    matches!(
        import.name(),
        "sock_open"
            | "sock_bind"
            | "sock_listen"
            | "sock_connect"
            | "sock_send_to"
            | "sock_getsockopt"
            | "sock_setsockopt"
            | "sock_getaddrinfo"
    )
}

fn has_params(import: &ImportType<'_>, count: usize) -> bool {
    let ty = import.ty();
    ty.func().is_some_and(|ty| ty.params().len() == count)
}

/// Registers the resources.
pub fn register(env: rustler::Env) -> bool {
    crate::vm::resource::register::<handle::ListenerResource>(env)
        && crate::vm::resource::register::<handle::EndResource>(env)
        && crate::vm::resource::register::<answer::AnswerResource>(env)
}

/// The functions called by guests, by the names of the interfaces.
pub mod functions {
    pub use super::addresses::{sock_getlocaladdr, sock_getpeeraddr, sock_recv_from, v1};
    pub use super::connect::{
        sock_accept, sock_bind, sock_connect, sock_listen, sock_open, sock_shutdown,
    };
    pub use super::environment::{args_get, args_sizes_get, environ_get, environ_sizes_get};
    pub use super::files::*;
    pub use super::messages::sock_send_to;
    pub use super::names::sock_getaddrinfo;
    pub use super::options::{sock_getsockopt, sock_setsockopt};
    pub use super::poll::poll_oneoff;
    #[cfg(unix)]
    pub use super::readdir::fd_readdir;
    pub use super::transfer::{fd_read, fd_write, sock_recv, sock_send};
}
