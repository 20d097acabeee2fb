//! An HTTP handler that does what the path says, well and badly.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::http::outgoing_handler;
use wasip2::io::streams::{InputStream, StreamError};

struct Handler;

/// Requests that this instance was asked for a count.
static COUNT: AtomicU32 = AtomicU32::new(0);

wasip2::http::proxy::export!(Handler);

impl wasip2::exports::http::incoming_handler::Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        match path {
            "/hello" => answer(out, 200, b"hello from a component"),
            "/count" => {
                let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
                answer(out, 200, count.to_string().as_bytes());
            }
            "/about" => answer(out, 200, about(&request, query).as_bytes()),
            "/status" => answer(out, query.parse().unwrap_or(500), b""),
            "/echo" => echo(&request, out),
            "/long" => long(out, query.parse().unwrap_or(0)),
            "/endless" => long(out, u64::MAX),
            "/fetch" => match fetch(query) {
                Ok((status, body)) => answer(out, status, &body),
                Err(code) => answer(out, 502, format!("{code:?}").as_bytes()),
            },
            "/fail" => ResponseOutparam::set(out, Err(ErrorCode::LoopDetected)),
            "/forget" => drop(out),
            "/trap" => panic!("as asked"),
            "/broken" => {
                let (mut body, _response) = start(out, 200);
                let _ = body.write(&[b'x'; 100_000]);
                panic!("in the middle");
            }
            "/spin" => loop {
                std::hint::black_box(0);
            },
            _ => answer(out, 404, b"no such path"),
        }
    }
}

fn about(request: &IncomingRequest, query: &str) -> String {
    let mut text = format!(
        "method={}\nauthority={}\nquery={query}\n",
        match request.method() {
            Method::Get => "GET".to_string(),
            Method::Post => "POST".to_string(),
            other => format!("{other:?}"),
        },
        request.authority().unwrap_or_default(),
    );
    let mut headers = request.headers().entries();
    headers.sort();
    for (name, value) in headers {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    text
}

/// A body under way; dropped without `finish` it breaks off.
struct Body {
    body: OutgoingBody,
    stream: Option<wasip2::io::streams::OutputStream>,
}

impl Body {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        let Some(stream) = &self.stream else {
            return Err(StreamError::Closed);
        };
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(4096));
            stream.blocking_write_and_flush(part)?;
            bytes = rest;
        }
        Ok(())
    }

    fn finish(mut self) {
        self.stream = None;
        let _ = OutgoingBody::finish(self.body, None);
    }
}

fn start(out: ResponseOutparam, status: u16) -> (Body, ()) {
    let headers = Fields::new();
    let _ = headers.append("content-type", b"text/plain");
    let _ = headers.append("x-twice", b"1");
    let _ = headers.append("x-twice", b"2");
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(status);
    let body = response.body().expect("the body, once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().ok();
    (Body { body, stream }, ())
}

fn answer(out: ResponseOutparam, status: u16, bytes: &[u8]) {
    let (mut body, ()) = start(out, status);
    let _ = body.write(bytes);
    body.finish();
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("the body, once");
    let stream = incoming.stream().expect("the stream, once");
    let (mut body, ()) = start(out, 200);
    while let Ok(bytes) = stream.blocking_read(16 * 1024) {
        if body.write(&bytes).is_err() {
            return;
        }
    }
    body.finish();
}

fn long(out: ResponseOutparam, mut left: u64) {
    let (mut body, ()) = start(out, 200);
    let chunk = [b'x'; 4096];
    while left > 0 {
        let part = &chunk[..left.min(4096) as usize];
        if body.write(part).is_err() {
            return;
        }
        left -= part.len() as u64;
    }
    body.finish();
}

/// `METHOD authority path [body]`, separated by spaces that may be written as `+`.
fn fetch(query: &str) -> Result<(u16, Vec<u8>), ErrorCode> {
    let query = query.replace('+', " ");
    let mut parts = query.splitn(4, ' ');
    let mut next = || parts.next().unwrap_or_default().to_string();
    let (method, authority, path, text) = (next(), next(), next(), next());
    let headers = Fields::new();
    let _ = headers.append("x-from", b"guest");
    let request = OutgoingRequest::new(headers);
    let _ = request.set_method(&if method == "POST" { Method::Post } else { Method::Get });
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(&authority));
    let _ = request.set_path_with_query(Some(&path));
    let body = request.body().expect("the body, once");
    let future = outgoing_handler::handle(request, None)?;
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
    future.subscribe().block();
    let response = match future.get() {
        Some(Ok(result)) => result?,
        _ => return Err(ErrorCode::InternalError(None)),
    };
    let incoming = response.consume().expect("the body, once");
    let bytes = read(&incoming)?;
    Ok((response.status(), bytes))
}

fn read(body: &IncomingBody) -> Result<Vec<u8>, ErrorCode> {
    let stream: InputStream = body.stream().expect("the stream, once");
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(part) => drop(bytes.write_all(&part)),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => {
                return Err(ErrorCode::HttpResponseIncomplete);
            }
        }
    }
}
