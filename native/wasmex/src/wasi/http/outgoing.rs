//! Performs the requests of a store's guests: through our client, or a function of the user.

use crate::vm::slots::Shared;
use crate::vm::waker::WakeCell;
use crate::wasi::http::client::Client;
use crate::wasi::http::function::Functions;
use crate::wasi::http::limits::CHUNK;
use rustler::{Env, Term};
use std::future::Future;
use std::sync::Arc;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// How the requests of a store are performed.
pub enum Outgoing {
    Client(Arc<Client>),
    Function(Box<Functions>),
}

impl Outgoing {
    async fn send(
        &self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<http::Response<WasiBody>, Error> {
        match self {
            Outgoing::Client(client) => client.send(request, options).await,
            Outgoing::Function(functions) => functions.send(request, options).await,
        }
    }

    /// Ends requests in progress: the guests of the store cannot continue.
    pub fn close(&self) {
        match self {
            Outgoing::Client(client) => client.close(),
            Outgoing::Function(functions) => functions.close(),
        }
    }

    /// The process to wake when the function must be called.
    pub fn wake_with(&self, wake: &Arc<WakeCell>) {
        if let Outgoing::Function(functions) = self {
            functions.wake_with(wake.clone());
        }
    }

    /// The next call of a function, as a step.
    pub fn next<'a>(&self, env: Env<'a>) -> Option<Term<'a>> {
        match self {
            Outgoing::Client(_) => None,
            Outgoing::Function(functions) => functions.next(env),
        }
    }
}

/// Attached to the store's data, which sends, and to its cell, which is woken and closed.
impl Shared for Outgoing {
    fn close(&self) {
        Outgoing::close(self);
    }
}

/// The hooks of one store; without a client or function, requests are denied. Dropped with the store, before the
/// handles of its guests: unfinished bodies are cut off.
#[derive(Default)]
pub struct Hooks(pub Option<Arc<Outgoing>>);

impl Drop for Hooks {
    fn drop(&mut self) {
        if let Some(outgoing) = &self.0 {
            outgoing.close();
        }
    }
}

/// Completes when the sent request needs nothing more.
type Ended = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Ended,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Ended), Error>> + Send> {
        let outgoing = self.0.clone();
        Box::new(async move {
            let outgoing = outgoing.ok_or(Error::HttpRequestDenied)?;
            let response = outgoing.send(request, options).await?;
            Ok((response, Box::new(async { Ok(()) }) as Ended))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }
}
