//! WASI: preview 1 and 2, standard streams, pipes, sockets and HTTP.
//!
//! It may use `vm`. It is generic over a store's data, see [`context::View`], which `guest` implements.

pub mod address;
pub mod budget;
pub mod calls;
pub mod context;
mod digits;
pub mod errno;
mod exit;
pub mod host;
pub mod http;
pub mod link;
#[cfg(unix)]
mod listing;
pub mod names;
pub mod network;
pub mod p1;
pub mod p2;
pub mod pattern;
pub mod pipe;
pub mod places;
pub mod resolve;
mod rule_term;
pub mod rules;
mod senders;
pub mod sockets;
pub mod stdio;
