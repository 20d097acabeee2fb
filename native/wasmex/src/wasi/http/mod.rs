//! HTTP for guests: outgoing requests, and the bodies of both directions.
//!
//! `client` sends all requests of guests. Other layers may use it without a guest, with a `limits::Policy`.

pub mod bindings;
pub mod body;
pub mod client;
mod coding;
mod connect;
mod connection;
pub mod error;
pub mod fetch;
pub mod fields;
pub mod function;
pub mod head;
pub mod limits;
mod meter;
pub mod options;
pub mod outgoing;
pub mod pieces;
mod places;
mod pool;
mod quota;
mod redirect;
mod request;
mod response;
pub mod target;
pub mod tls;
mod whole;
