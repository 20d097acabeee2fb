//! What one client may ask of the world, and how much of it: the rules and limits of a store as one struct.

use crate::wasi::http::tls::Roots;
use crate::wasi::rules::Rules;
use std::time::Duration;
use wasmtime_wasi_http::RequestOptions;

/// Bytes of the head of a message, of its trailers, and a server's informational answers together with its head.
pub const HEAD: usize = 64 * 1024;

/// Fields of a head, and of trailers.
pub const FIELDS: usize = 100;

/// Bytes of a request's body that wait for the network in one piece; two pieces may.
pub const CHUNK: usize = 64 * 1024;

/// Where requests may go, and what they may take.
pub struct Policy {
    pub rules: Rules,
    pub roots: Roots,
    pub limits: Limits,
}

/// Each has its default in `Wasmex.Wasi.WasiP2Options`.
#[derive(Clone)]
pub struct Limits {
    /// Of one exchange, from the request to the last byte of the response, redirects included.
    pub time: Duration,
    /// Bytes of a request's body; `None` for no limit.
    pub request: Option<u64>,
    /// Bytes of a response's body.
    pub response: Option<u64>,
    /// Bytes of all bodies in both directions, over the client's life.
    pub total: Option<u64>,
    /// Exchanges under way at once; more of them wait.
    pub exchanges: usize,
    /// Redirects that are followed for one request.
    pub redirects: u32,
}

/// The times of one exchange: those that the guest asks for, and never more than the limit.
#[derive(Clone, Copy)]
pub struct Times {
    pub total: Duration,
    /// Until there is a connection: place, name, TCP and TLS.
    pub connect: Duration,
    /// From then until the head of the response is there.
    pub first_byte: Duration,
    /// While the body has nothing new.
    pub between_bytes: Duration,
}

impl Times {
    /// The timeouts of a request: those of the store, shortened by those of the guest.
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
