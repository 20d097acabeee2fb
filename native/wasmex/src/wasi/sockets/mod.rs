//! Sockets of preview 1, which wasmtime has none of: those of WasmEdge, in both versions, and the standard functions on them.
//!
//! A guest's socket is a descriptor of the system that never blocks. Who has to wait is suspended and woken by tokio's
//! reactor, without a thread. What a guest may reach is decided by [`crate::wasi::network`], as for components.

pub mod address;
pub mod addresses;
pub mod connect;
pub mod descriptors;
pub mod files;
pub mod handle;
pub mod listener;
pub mod made;
pub mod memory;
pub mod names;
pub mod net;
pub mod options;
pub mod passed;
pub mod pending;
pub mod poll;
pub mod socket;
pub mod state;
pub mod transfer;
pub mod urls;

use crate::wasi::context::View;
use crate::wasi::host::HostModule;
use crate::wasi::link;
use crate::wasi::p1::NAMESPACE;
use wasmtime::ImportType;

/// The functions of WasmEdge that version 1 and version 2 share, and the others of version 2.
pub const fn host_module<T: View>() -> HostModule<T> {
    HostModule {
        name: "wasmedge_sockets",
        provides: |namespace| namespace == NAMESPACE,
        own: Some(|import| import.name().starts_with("sock_") && !is_standard(import.name())),
        granted: |data| data.wasi_context().sockets().any(),
        core: Some(link::sockets),
        traced: None,
        component: None,
    }
}

/// Version 1, which a module imports if the types of its imports say so.
pub const fn host_module_v1<T: View>() -> HostModule<T> {
    HostModule {
        name: "wasmedge_sockets_v1",
        provides: |namespace| namespace == NAMESPACE,
        own: Some(is_v1),
        granted: |data| data.wasi_context().sockets().v1(),
        core: Some(link::sockets_v1),
        traced: None,
        component: None,
    }
}

fn is_standard(name: &str) -> bool {
    matches!(
        name,
        "sock_accept" | "sock_recv" | "sock_send" | "sock_shutdown"
    )
}

fn is_v1(import: &ImportType<'_>) -> bool {
    let params = match import.name() {
        "sock_accept" => 2,
        "sock_getlocaladdr" | "sock_getpeeraddr" => 4,
        "sock_recv_from" => 7,
        _ => return false,
    };
    let ty = import.ty();
    ty.func().is_some_and(|ty| ty.params().len() == params)
}

/// Registers the resources.
pub fn register(env: rustler::Env) -> bool {
    env.register::<handle::ListenerResource>().is_ok()
        && env.register::<handle::EndResource>().is_ok()
        && env.register::<handle::AnswerResource>().is_ok()
}

/// The functions that guests call, by the names of the interfaces.
pub mod functions {
    pub use super::addresses::{sock_getlocaladdr, sock_getpeeraddr, sock_recv_from, v1};
    pub use super::connect::{
        sock_accept, sock_bind, sock_connect, sock_listen, sock_open, sock_shutdown,
    };
    pub use super::files::*;
    pub use super::names::sock_getaddrinfo;
    pub use super::options::{sock_getsockopt, sock_setsockopt};
    pub use super::poll::poll_oneoff;
    pub use super::transfer::{fd_read, fd_write, sock_recv, sock_send, sock_send_to};
}
