//! The rules and limits of a store's outgoing HTTP.

use crate::wasi::http::tls::Roots;
use crate::wasi::rules::Rules;
use std::time::Duration;
use wasmtime_wasi_http::RequestOptions;

/// Maximum size of a message head, of trailers, and of a server's informational responses together with its head.
pub const HEAD: usize = 64 * 1024;

/// Maximum number of fields in a head, and in trailers.
pub const FIELDS: usize = 100;

/// Size of a chunk of a request's body waiting for the network; there may be two.
pub const CHUNK: usize = 64 * 1024;

/// Allowed targets and limits.
pub struct Policy {
    pub rules: Rules,
    pub roots: Roots,
    pub limits: Limits,
}

/// The defaults are in `Wasmex.Wasi.WasiP2Options`.
#[derive(Clone)]
pub struct Limits {
    /// Duration of one exchange, from the request to the last byte of the response, including redirects.
    pub time: Duration,
    /// Bytes of a request's body; `None` for no limit.
    pub request: Option<u64>,
    /// Bytes of a response's body.
    pub response: Option<u64>,
    /// Bytes of all bodies in both directions, over the client's lifetime.
    pub total: Option<u64>,
    /// Concurrent exchanges; further ones wait.
    pub exchanges: usize,
    /// Redirects followed for one request.
    pub redirects: u32,
}

/// Timeouts of one exchange: the guest's, but never above the limit.
#[derive(Clone, Copy)]
pub struct Times {
    pub total: Duration,
    /// Until connected: waiting for a slot, lookup, TCP and TLS.
    pub connect: Duration,
    /// From then until the response head.
    pub first_byte: Duration,
    /// Between two parts of the body.
    pub between_bytes: Duration,
}

impl Times {
    /// The timeouts of a request: those of the store, shortened by the guest's.
    pub fn new(limits: &Limits, asked: Option<RequestOptions>) -> Self {
        let most = |asked: Option<Duration>| asked.unwrap_or(limits.time).min(limits.time);
        let asked = asked.unwrap_or_default();
        Times {
            total: limits.time,
            connect: most(asked.connect_timeout),
            first_byte: most(asked.first_byte_timeout),
            between_bytes: most(asked.between_bytes_timeout),
        }
    }
}
