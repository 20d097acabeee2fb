//! HTTP for guests: outgoing requests, and the bodies of both directions.
//!
//! `client` sends what leaves for a guest: any room may use it with a `limits::Policy`, and without a guest's store.

pub mod bindings;
pub mod body;
pub mod client;
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
