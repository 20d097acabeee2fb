//! A connection that the host makes for a component, which is not supported on systems without Unix descriptors.

use crate::wasi::sockets::made::Ends;
use std::convert::Infallible;
use std::net::SocketAddr;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::p2::bindings::sockets::tcp::ShutdownType;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, Pollable};

/// Cannot be made.
pub struct Connection {
    never: Infallible,
}

impl Connection {
    /// Not supported here.
    pub fn new((never, _): Ends) -> Self {
        match never {}
    }

    /// Why the socket cannot connect again.
    pub fn busy(&self) -> ErrorCode {
        match self.never {}
    }

    /// Its streams, once.
    pub fn finish(&mut self) -> Result<(DynInputStream, DynOutputStream), ErrorCode> {
        match self.never {}
    }

    /// The peer address shown to the guest.
    pub fn peer(&self) -> Result<SocketAddr, ErrorCode> {
        match self.never {}
    }

    /// Ready once it is connected or has failed to be.
    pub fn waiting(&self) -> Waiting {
        match self.never {}
    }

    /// Shuts down one direction, or both.
    pub fn shutdown(&self, _: ShutdownType) -> Result<(), ErrorCode> {
        match self.never {}
    }
}

/// Cannot be made.
pub struct Waiting {
    never: Infallible,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Waiting {
    async fn ready(&mut self) {
        match self.never {}
    }
}
