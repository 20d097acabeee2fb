//! What a guest can reach through WASI: preview 1, preview 2, standard streams, pipes, sockets and HTTP.
//!
//! It may use `vm`.

pub mod budget;
pub mod context;
pub mod host;
pub mod http;
pub mod network;
pub mod p1;
pub mod p2;
pub mod pipe;
pub mod stdio;
