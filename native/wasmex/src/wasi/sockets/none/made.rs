//! Connections made by the host for a guest, which fail.

use crate::wasi::errno::{Fail, NOTSUP};
use crate::wasi::http::tls::Connector;
use crate::wasi::sockets::answer::AnswerResource;
use crate::wasi::sockets::pending::Made;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The guest's end, and its connection state.
pub type Ends = (Infallible, Made);

/// Not supported here.
pub fn to_elixir(_: &AnswerResource, _peer: SocketAddr) -> Result<Ends, Fail> {
    Err(NOTSUP.into())
}

/// Not supported here.
pub fn with_tls(
    _: Arc<Connector>,
    _host: String,
    _peer: SocketAddr,
    _timeout: Duration,
) -> Result<Ends, Fail> {
    Err(NOTSUP.into())
}
