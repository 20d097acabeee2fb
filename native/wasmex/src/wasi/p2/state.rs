//! The state of a store for components, on the same context as preview 1.

use crate::wasi::http::outgoing::Hooks;
use crate::wasi::p2::connection::Connection;
use crate::wasi::sockets::reach::Reach;
use std::collections::HashMap;
use wasmtime_wasi_http::WasiHttpCtx;

/// Connections made by the host, by the handles of their sockets.
pub type Connections = HashMap<u32, Connection>;

/// A store's state for components besides the WASI context.
#[derive(Default)]
pub struct P2 {
    /// The addresses that its guests may reach, the same as for preview 1.
    pub reach: Reach,
    /// Outgoing HTTP requests.
    pub http: HttpState,
    /// Connections made by the host.
    pub connections: Connections,
}

/// The `wasi:http` state of a store.
pub struct HttpState {
    /// wasmtime's part.
    pub ctx: WasiHttpCtx,
    /// Sends the requests.
    pub hooks: Hooks,
}

impl Default for HttpState {
    fn default() -> Self {
        HttpState {
            ctx: WasiHttpCtx::new(),
            hooks: Hooks::default(),
        }
    }
}

impl P2 {
    /// Nothing was requested yet.
    pub fn new(reach: Reach) -> Self {
        P2 {
            reach,
            http: HttpState::default(),
            connections: Connections::new(),
        }
    }
}
