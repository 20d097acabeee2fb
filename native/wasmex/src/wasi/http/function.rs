//! Requests performed by an Elixir function, in the process that drives the guest.
//!
//! A complete request is queued here, and the guest's process is woken. The next poll of the guest's call returns it as
//! a step, `{:http, exchange, function, {method, url, headers, body}}`. The process runs the function and reports the
//! result with `http_respond` or `http_fail`.

use crate::vm::atoms;
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};
use crate::vm::term_box::TermBox;
use crate::vm::waker::WakeCell;
use crate::wasi::http::fields;
use crate::wasi::http::limits::{FIELDS, HEAD, Limits, Times};
use crate::wasi::http::quota::{Quota, Total};
use crate::wasi::http::target::Target;
use crate::wasi::http::whole;
use crate::wasi::rules::Rules;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use rustler::{Atom, Binary, Encoder, Env, OwnedBinary, Term};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// The function of one store, and the requests waiting for it.
pub struct Functions {
    function: TermBox,
    /// `None` for all hosts.
    rules: Option<Rules>,
    limits: Limits,
    exchanges: Semaphore,
    total: Total,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Asked>,
    wake: Option<Arc<WakeCell>>,
    closed: bool,
}

/// A complete request.
struct Asked {
    head: Parts,
    body: OwnedBinary,
    exchange: Exchange,
}

type Answer = Result<Response<WasiBody>, Error>;

/// Sends the response. If dropped, the guest gets an error.
struct Exchange {
    answer: oneshot::Sender<Answer>,
    quota: Quota,
    _live: Live,
}

/// A request being performed by the function.
pub struct ExchangeResource(Mutex<Option<Exchange>>);

named_resource!(ExchangeResource, "request");
impl std::panic::RefUnwindSafe for ExchangeResource {}

impl Functions {
    /// No requests yet.
    pub fn new(function: TermBox, rules: Option<Rules>, limits: Limits) -> Self {
        Functions {
            function,
            rules,
            exchanges: Semaphore::new(limits.exchanges),
            total: Total::new(limits.total),
            limits,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process to wake when a request is complete.
    pub fn wake_with(&self, wake: Arc<WakeCell>) {
        self.lock().wake = Some(wake);
    }

    /// Ends all requests.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    /// Waits for the function's response.
    pub async fn send(&self, request: Request<WasiBody>, asked: Option<RequestOptions>) -> Answer {
        let target = Target::of(request.uri())?;
        if let Some(rules) = &self.rules
            && !target.allowed(rules)
        {
            return Err(Error::HttpRequestDenied);
        }
        let times = Times::new(&self.limits, asked);
        let wait = times.total.min(times.first_byte);
        let answer = timeout(wait, self.ask(request)).await;
        answer.unwrap_or(Err(Error::HttpResponseTimeout))
    }

    async fn ask(&self, request: Request<WasiBody>) -> Answer {
        let place = self.exchanges.acquire().await;
        let _place = place.map_err(|_closed| Error::ConnectionLimitReached)?;
        let (head, body) = request.into_parts();
        let body = self.collect(body).await?;
        let (answer, answered) = oneshot::channel();
        self.enqueue(Asked {
            head,
            body,
            exchange: Exchange {
                answer,
                quota: Quota::new(self.limits.response, &self.total),
                _live: Live::new(Kind::Exchange),
            },
        });
        answered.await.unwrap_or(Err(Error::ConnectionTerminated))
    }

    async fn collect(&self, body: WasiBody) -> Result<OwnedBinary, Error> {
        let mut quota = Quota::new(self.limits.request, &self.total);
        whole::read(body, |length| {
            let taken = quota.take(length);
            taken.map_err(|limit| Error::HttpRequestBodySize(Some(limit)))
        })
        .await
    }

    fn enqueue(&self, asked: Asked) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.waiting.push_back(asked);
        let wake = state.wake.clone();
        drop(state);
        if let Some(wake) = wake {
            wake.wake();
        }
    }

    /// The next request still awaited by a guest, as a step of the guest's call.
    pub fn next<'a>(&self, env: Env<'a>) -> Option<Term<'a>> {
        let mut state = self.lock();
        let asked = loop {
            let asked = state.waiting.pop_front()?;
            if !asked.exchange.answer.is_closed() {
                break asked;
            }
        };
        drop(state);
        let Asked {
            head,
            body,
            exchange,
        } = asked;
        let exchange = ResourceArc::new(ExchangeResource(Mutex::new(Some(exchange))));
        let request = (
            head.method.as_str(),
            head.uri.to_string(),
            fields::headers(env, &head.headers),
            body.release(env),
        );
        Some((atoms::http(), exchange, self.function.get(env), request).encode(env))
    }
}

/// The bytes of a binary, without a copy of many.
fn shared(env: Env, binary: Binary) -> Bytes {
    const FEW: usize = 64 * 1024;
    match binary.len() {
        0..=FEW => Bytes::copy_from_slice(&binary),
        _ => Bytes::from_owner(Shared(TermBox::new(binary.to_term(env)))),
    }
}

struct Shared(TermBox);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// False if the guest no longer waits. If the head or the body is too large, the guest gets an error.
#[rustler::nif]
fn http_respond(
    env: Env,
    exchange: ResourceArc<ExchangeResource>,
    status: u16,
    headers: Vec<(Binary, Binary)>,
    body: Binary,
) -> bool {
    let Ok(status) = StatusCode::from_u16(status) else {
        return false;
    };
    answer(&exchange, |quota| {
        let headers = fields::header_map(&headers, (FIELDS, HEAD))
            .ok_or(Error::HttpResponseHeaderSectionSize(Some(HEAD as u32)))?;
        let taken = quota.take(body.len());
        taken.map_err(|limit| Error::HttpResponseBodySize(Some(limit)))?;
        let body = Full::new(shared(env, body));
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    })
}

/// `reason`: one of `:denied`, `:timeout`, `:refused`, `:dns`, `:too_large`; any other becomes a generic error for the
/// guest.
#[rustler::nif]
fn http_fail(exchange: ResourceArc<ExchangeResource>, reason: Atom) -> bool {
    answer(&exchange, |_quota| {
        Err(match reason {
            reason if reason == atoms::denied() => Error::HttpRequestDenied,
            reason if reason == atoms::timeout() => Error::ConnectionReadTimeout,
            reason if reason == atoms::refused() => Error::ConnectionRefused,
            reason if reason == atoms::dns() => Error::DestinationNotFound,
            reason if reason == atoms::too_large() => Error::HttpResponseBodySize(None),
            _ => Error::InternalError(Some("the request failed".into())),
        })
    })
}

fn answer(exchange: &ExchangeResource, make: impl FnOnce(&mut Quota) -> Answer) -> bool {
    let taken = exchange
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    taken.is_some_and(|mut exchange| {
        let answer = make(&mut exchange.quota);
        exchange.answer.send(answer).is_ok()
    })
}
