//! The HTTP client of one store, which sends all requests of its guests.
//!
//! It shares nothing with other stores or the application, except for the VM-wide limits on connections and lookups.
//! Dropping the future of a request, or the body of its response, closes the connection.

use crate::vm::live::{Kind, Live};
use crate::wasi::digits::number;
use crate::wasi::http::coding;
use crate::wasi::http::connect;
use crate::wasi::http::connection::Connection;
use crate::wasi::http::error;
use crate::wasi::http::limits::{HEAD, Limits, Policy, Times};
use crate::wasi::http::meter::Io;
use crate::wasi::http::places;
use crate::wasi::http::pool::Pool;
use crate::wasi::http::quota::{Quota, Total};
use crate::wasi::http::redirect;
use crate::wasi::http::request::{RequestBody, fits};
use crate::wasi::http::response::ResponseBody;
use crate::wasi::http::target::{Target, host_header};
use crate::wasi::http::tls::Connector;
use crate::wasi::resolve::Resolver;
use crate::wasi::rules::Rules;
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::{Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody};

/// The HTTP client of a store.
pub struct Client {
    rules: Rules,
    limits: Limits,
    tls: Connector,
    resolver: Resolver,
    pool: Arc<Pool>,
    /// Limits concurrent exchanges.
    exchanges: Arc<Semaphore>,
    total: Total,
    closed: watch::Sender<bool>,
}

/// Held by an exchange from its start to the end of the response's body.
type Place = (OwnedSemaphorePermit, Live);

impl Client {
    /// A client without connections.
    pub fn new(policy: Policy) -> Arc<Self> {
        let Policy {
            rules,
            roots,
            limits,
        } = policy;
        Arc::new(Client {
            tls: Connector::new(roots, &["http/1.1"]),
            resolver: Resolver::default(),
            pool: Arc::default(),
            exchanges: Arc::new(Semaphore::new(limits.exchanges)),
            total: Total::new(limits.total),
            closed: watch::Sender::new(false),
            rules,
            limits,
        })
    }

    /// Ends all exchanges and refuses new ones. Bodies in progress are cut off, for the servers too.
    pub fn close(&self) {
        self.closed.send_replace(true);
        self.pool.clear();
    }

    /// Sends a request with an absolute URI and waits for the response head. Nothing is sent unless the rules allow it.
    /// Must be polled within tokio's context.
    pub async fn send(
        &self,
        request: Request<WasiBody>,
        asked: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, Error> {
        let times = Times::new(&self.limits, asked);
        let deadline = Instant::now() + times.total;
        let mut closed = self.closed.subscribe();
        let mut closed = pin!(closed.wait_for(|closed| *closed));
        let mut exchange = pin!(timeout_at(
            deadline,
            self.exchange(request, times, deadline)
        ));
        std::future::poll_fn(|context| {
            if closed.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(Error::ConnectionTerminated));
            }
            let polled = exchange.as_mut().poll(context);
            polled.map(|result| result.unwrap_or(Err(Error::HttpResponseTimeout)))
        })
        .await
    }

    async fn exchange(
        &self,
        request: Request<WasiBody>,
        times: Times,
        deadline: Instant,
    ) -> Result<Response<WasiBody>, Error> {
        let (mut head, body) = request.into_parts();
        check(&mut head)?;
        if !Target::of(&head.uri)?.allowed(&self.rules) {
            return Err(Error::HttpRequestDenied);
        }
        let exchange = timeout(times.connect, self.exchanges.clone().acquire_owned()).await;
        let Ok(Ok(exchange)) = exchange else {
            return Err(Error::ConnectionLimitReached);
        };
        let place = (exchange, Live::new(Kind::Exchange));
        let quota = Quota::new(self.limits.request, &self.total);
        if let Some(limit) = self.limits.request
            && length(&head).is_some_and(|length| length > limit)
        {
            return Err(Error::HttpRequestBodySize(Some(limit)));
        }
        let body = RequestBody::new(body, quota, self.closed.subscribe());
        let body = body.look().await;
        if let Some(error) = body.failure().take() {
            return Err(error);
        }
        self.follow(head, body, place, (times, deadline)).await
    }

    /// Sends it and follows redirects.
    async fn follow(
        &self,
        mut head: Parts,
        mut body: RequestBody,
        place: Place,
        (times, deadline): (Times, Instant),
    ) -> Result<Response<WasiBody>, Error> {
        let mut followed = 0;
        loop {
            let empty = body.empty();
            let had_body = !body.is_empty();
            let (response, connection) = self.ask(&head, body, &times).await?;
            let next = match self.limits.redirects {
                0 => None,
                _ => redirect::next(&head, had_body, &response),
            };
            match next {
                Some(next) if followed < self.limits.redirects => head = next?,
                Some(_) => return Err(Error::LoopDetected),
                None => {
                    let times = (times.between_bytes, deadline);
                    return self.response(response, connection, place, times);
                }
            }
            followed += 1;
            body = empty;
        }
    }

    fn response(
        &self,
        response: Response<Incoming>,
        connection: Connection,
        place: Place,
        times: (std::time::Duration, Instant),
    ) -> Result<Response<WasiBody>, Error> {
        if let Some(coding) = coding::unknown(&response) {
            return Err(Error::HttpResponseTransferCoding(Some(coding)));
        }
        let quota = Quota::new(self.limits.response, &self.total);
        let length = response.body().size_hint().lower();
        if !quota.allows(length) {
            return Err(Error::HttpResponseBodySize(Some(length)));
        }
        Ok(response.map(|incoming| {
            ResponseBody::new(incoming, connection, place, &self.pool, quota, times).boxed_unsync()
        }))
    }

    /// One request and the head of its response. A kept connection may be closed at any moment, so it only carries
    /// requests that can be repeated.
    async fn ask(
        &self,
        head: &Parts,
        body: RequestBody,
        times: &Times,
    ) -> Result<(Response<Incoming>, Connection), Error> {
        let target = Target::of(&head.uri)?;
        if !target.allowed(&self.rules) {
            return Err(Error::HttpRequestDenied);
        }
        if body.is_empty() && head.method.is_idempotent() {
            while let Some(mut connection) = self.pool.take(&target) {
                let request = request(head, body.empty())?;
                match timeout(times.first_byte, connection.send(request)).await {
                    Err(_elapsed) => return Err(Error::ConnectionReadTimeout),
                    Ok(Ok(response)) => return Ok((response, connection)),
                    Ok(Err(error)) => match error::from_hyper(&error) {
                        Error::ConnectionTerminated => {}
                        other => return Err(other),
                    },
                }
            }
        }
        let mut connection = self.connect(target, times).await?;
        let failure = body.failure();
        let sent = connection.send(request(head, body)?);
        match timeout(times.first_byte, sent).await {
            Err(_elapsed) => Err(Error::ConnectionReadTimeout),
            Ok(Ok(response)) => Ok((response, connection)),
            Ok(Err(error)) => Err(failure.take().unwrap_or_else(|| error::from_hyper(&error))),
        }
    }

    async fn connect(&self, target: Target, times: &Times) -> Result<Connection, Error> {
        let until = Instant::now() + times.connect;
        let place = match places::try_connection() {
            Some(place) => place,
            None => {
                self.pool.clear();
                let place = timeout_at(until, places::connection()).await;
                place.map_err(|_elapsed| Error::ConnectionLimitReached)??
            }
        };
        let found = connect::addresses(&target, &self.rules, &self.resolver);
        let found = timeout_at(until, found).await;
        let addresses = found.map_err(|_elapsed| Error::DnsTimeout)??;
        let opened = async {
            let stream = connect::dial(addresses).await?;
            let io: Box<dyn Io> = match target.tls {
                true => Box::new(self.tls.connect(&target.name(), stream).await?),
                false => Box::new(stream),
            };
            Connection::open(target, io, place, self.closed.subscribe()).await
        };
        let opened = timeout_at(until, opened).await;
        opened.map_err(|_elapsed| Error::ConnectionTimeout)?
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
    }
}

/// Prepares a request head for sending, or returns why it is not allowed.
fn check(head: &mut Parts) -> Result<(), Error> {
    if head.method == Method::CONNECT {
        return Err(Error::HttpRequestMethodInvalid);
    }
    // Connection headers are set by the client.
    for name in &DEFAULT_FORBIDDEN_HEADERS {
        head.headers.remove(name);
    }
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter();
    let is_valid = lengths.next().is_none() || (lengths.next().is_none() && length(head).is_some());
    if !is_valid {
        return Err(Error::HttpProtocolError);
    }
    let path = head
        .uri
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    if path > HEAD {
        return Err(Error::HttpRequestUriTooLong);
    }
    if !fits(&head.headers, path) {
        return Err(Error::HttpRequestHeaderSectionSize(Some(HEAD as u32)));
    }
    Ok(())
}

/// The body length stated by the guest.
fn length(head: &Parts) -> Option<u64> {
    let length = head.headers.get(CONTENT_LENGTH)?;
    number(length.to_str().ok()?)
}

/// The form sent over the connection: only the path, with the host in a header.
fn request(head: &Parts, body: RequestBody) -> Result<Request<RequestBody>, Error> {
    let mut request = Request::new(body);
    let path = head.uri.path_and_query().cloned();
    let path = path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from(path);
    // The host first, as RFC 9110 recommends.
    request.headers_mut().insert(HOST, host_header(&head.uri)?);
    for (name, value) in &head.headers {
        request.headers_mut().append(name, value.clone());
    }
    Ok(request)
}
