//! Outgoing HTTP requests of components: handed to an Elixir process, which performs them.
//!
//! The process gets `{:wasmex_http, exchange, method, url, headers, body}`, where `body` is a pipe to
//! read from, and answers with `http_respond`; its answer's body comes from a pipe too. Hosts, sizes
//! and times are its business.

use crate::vm::atoms;
use crate::vm::live::{Kind, Live};
use crate::vm::term_box::TermBox;
use crate::vm::waker;
use crate::wasi::http::body::{PipeBody, pump};
use crate::wasi::pipe::PipeResource;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use rustler::{
    Atom, Binary, Decoder, Encoder, Env, LocalPid, NewBinary, NifResult, Resource, ResourceArc,
    Term,
};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// The process, and the options that it is to be told with each request.
#[derive(Clone)]
pub struct HttpClient {
    pid: LocalPid,
    options: Arc<TermBox>,
}

impl<'a> Decoder<'a> for HttpClient {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let (pid, options): (LocalPid, Term) = term.decode()?;
        Ok(HttpClient {
            pid,
            options: Arc::new(TermBox::new(options)),
        })
    }
}

/// Hands requests to a process; without one they are denied.
pub struct Hooks(pub Option<HttpClient>);

type Response = Result<http::Response<WasiBody>, Error>;
type Ended = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// A request that waits for its answer. Dropped without one, the guest gets an error.
pub struct ExchangeResource {
    answer: Mutex<Option<oneshot::Sender<Response>>>,
    _live: Live,
}

impl Resource for ExchangeResource {}
impl std::panic::RefUnwindSafe for ExchangeResource {}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Ended,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Ended), Error>> + Send> {
        let client = self.0.clone();
        Box::new(async move {
            let client = client.ok_or(Error::HttpRequestDenied)?;
            let (sender, receiver) = oneshot::channel();
            send(client, request, options, sender);
            let response = receiver.await.unwrap_or(Err(Error::ConnectionTerminated))?;
            Ok((response, Box::new(async { Ok(()) }) as Ended))
        })
    }
}

fn send(
    client: HttpClient,
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
    sender: oneshot::Sender<Response>,
) {
    let (head, body) = request.into_parts();
    let exchange = ResourceArc::new(ExchangeResource {
        answer: Mutex::new(Some(sender)),
        _live: Live::new(Kind::Exchange),
    });
    let pipe = PipeResource::streaming();
    tokio::spawn(pump(body, pipe.pipe.clone()));
    let wait = options
        .and_then(|options| options.first_byte_timeout)
        .map(|wait| wait.as_millis() as u64);
    waker::send_term(client.pid, |env| {
        (
            atoms::wasmex_http(),
            exchange,
            head.method.as_str(),
            head.uri.to_string(),
            headers(env, &head.headers),
            (pipe, wait, client.options.get(env)),
        )
            .encode(env)
    });
}

/// `[{name, value}]`
pub fn headers<'a>(env: Env<'a>, headers: &HeaderMap) -> Term<'a> {
    headers
        .iter()
        .map(|(name, value)| {
            let bytes = value.as_bytes();
            let mut binary = NewBinary::new(env, bytes.len());
            binary.as_mut_slice().copy_from_slice(bytes);
            (name.as_str(), Binary::from(binary)).encode(env)
        })
        .collect::<Vec<_>>()
        .encode(env)
}

/// From `[{name, value}]`; what is no header is left out.
/// Without those that are none, and those that are too many.
pub fn header_map(headers: &[(String, Binary)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes())
            && let Ok(value) = HeaderValue::from_bytes(value)
            && map.try_append(name, value).is_err()
        {
            break;
        }
    }
    map
}

/// `body` is a pipe that the client writes and closes.
#[rustler::nif]
fn http_respond(
    exchange: ResourceArc<ExchangeResource>,
    status: u16,
    headers: Vec<(String, Binary)>,
    body: ResourceArc<PipeResource>,
) -> bool {
    let Ok(status) = http::StatusCode::from_u16(status) else {
        return false;
    };
    body.pipe.lock().own = true;
    let body = PipeBody::new(body.pipe.clone());
    let mut response = http::Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = header_map(&headers);
    answer(&exchange, Ok(response))
}

/// `reason`: one of `:denied`, `:timeout`, `:refused`, `:dns`, `:too_large`; anything else is internal.
#[rustler::nif]
fn http_fail(exchange: ResourceArc<ExchangeResource>, reason: Atom, message: String) -> bool {
    let error = match reason {
        reason if reason == atoms::denied() => Error::HttpRequestDenied,
        reason if reason == atoms::timeout() => Error::ConnectionReadTimeout,
        reason if reason == atoms::refused() => Error::ConnectionRefused,
        reason if reason == atoms::dns() => Error::DestinationNotFound,
        reason if reason == atoms::too_large() => Error::HttpResponseBodySize(None),
        _ => Error::InternalError(Some(message)),
    };
    answer(&exchange, Err(error))
}

fn answer(exchange: &ExchangeResource, response: Response) -> bool {
    let sender = exchange
        .answer
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    sender.is_some_and(|sender| sender.send(response).is_ok())
}
