//! HTTP for guests: outgoing requests and the bodies of both directions.

pub mod body;
pub mod client;
