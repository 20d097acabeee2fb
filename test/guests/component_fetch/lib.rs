//! Outgoing requests of all kinds, as the host asks for them.

use test::fetch::types::Ending;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    self, ErrorCode, Fields, FutureIncomingResponse, IncomingBody, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

wit_bindgen::generate!({ world: "fetcher", generate_all });

struct Fetcher;

export!(Fetcher);

impl Guest for Fetcher {
    fn fetch(request: Request) -> Result<Response, String> {
        fetch(&request).map_err(|code| format!("{code:?}"))
    }

    fn start(request: Request, count: u32) -> u32 {
        let futures: Vec<_> = (0..count).filter_map(|_| send(&request).ok()).collect();
        futures.len() as u32
    }

    fn hold(request: Request, count: u32) -> Result<u16, String> {
        let futures: Vec<_> = (0..count).map(|_| send(&request)).collect();
        let first = match futures.first().ok_or("none")? {
            Ok((future, _body)) => wait(future),
            Err(code) => Err(code.clone()),
        };
        first.map(|response| response.status()).map_err(|code| format!("{code:?}"))
    }
}

fn fields(list: &[(String, Vec<u8>)]) -> Fields {
    Fields::from_list(list).expect("fields")
}

/// A request under way, and the body that its ending leaves behind.
fn send(request: &Request) -> Result<(FutureIncomingResponse, Option<OutgoingBody>), ErrorCode> {
    let outgoing = OutgoingRequest::new(fields(&request.headers));
    let method = match request.method.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_string()),
    };
    outgoing.set_method(&method).expect("method");
    let scheme = match request.scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_string()),
    };
    outgoing.set_scheme(Some(&scheme)).expect("scheme");
    outgoing
        .set_authority(Some(&request.authority))
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    outgoing
        .set_path_with_query(Some(&request.path))
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(request.connect_timeout);
    let _ = options.set_first_byte_timeout(request.first_byte_timeout);
    let _ = options.set_between_bytes_timeout(request.between_bytes_timeout);
    let body = request.body.as_ref().map(|_| outgoing.body().expect("the body, once"));
    let future = outgoing_handler::handle(outgoing, Some(options))?;
    let left = match body {
        Some(body) => write(request, body)?,
        None => None,
    };
    Ok((future, left))
}

fn write(request: &Request, body: OutgoingBody) -> Result<Option<OutgoingBody>, ErrorCode> {
    let bytes = request.body.as_deref().unwrap_or_default();
    let stream = body.write().expect("the stream, once");
    for _ in 0..request.times {
        for part in bytes.chunks(4096) {
            // A server that does not read on has its reasons: the response says which.
            if stream.blocking_write_and_flush(part).is_err() {
                break;
            }
        }
    }
    drop(stream);
    match request.ending {
        Ending::Finish => {
            let trailers = (!request.trailers.is_empty()).then(|| fields(&request.trailers));
            // The response says more of a body that the host did not take.
            let _ = OutgoingBody::finish(body, trailers);
            Ok(None)
        }
        Ending::Drop => Ok(None),
        Ending::Trap => std::process::abort(),
        Ending::Leave => Ok(Some(body)),
    }
}

fn wait(future: &FutureIncomingResponse) -> Result<types::IncomingResponse, ErrorCode> {
    future.subscribe().block();
    match future.get() {
        Some(Ok(result)) => result,
        _ => Err(ErrorCode::InternalError(Some("no response".into()))),
    }
}

fn fetch(request: &Request) -> Result<Response, ErrorCode> {
    let (future, _body) = send(request)?;
    let response = wait(&future)?;
    let status = response.status();
    let headers = response.headers().entries();
    let incoming = response.consume().expect("the body, once");
    drop(response);
    let (body, size, ended) = read(request, &incoming)?;
    let trailers = if ended { trailers(incoming)? } else { Vec::new() };
    Ok(Response { status, headers, body, size, trailers })
}

fn read(request: &Request, body: &IncomingBody) -> Result<(Vec<u8>, u64, bool), ErrorCode> {
    let stream = body.stream().expect("the stream, once");
    let (mut kept, mut size) = (Vec::new(), 0);
    loop {
        if request.stop.is_some_and(|stop| size >= stop) {
            return Ok((kept, size, false));
        }
        match stream.blocking_read(64 * 1024) {
            Ok(bytes) => {
                let room = request.keep.saturating_sub(kept.len() as u64) as usize;
                kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
                size += bytes.len() as u64;
            }
            Err(StreamError::Closed) => return Ok((kept, size, true)),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = types::http_error_code(&error);
                return Err(code.unwrap_or(ErrorCode::InternalError(Some("no code".into()))));
            }
        }
    }
}

fn trailers(body: IncomingBody) -> Result<Vec<(String, Vec<u8>)>, ErrorCode> {
    let future = IncomingBody::finish(body);
    future.subscribe().block();
    match future.get() {
        Some(Ok(Ok(Some(trailers)))) => Ok(trailers.entries()),
        Some(Ok(Err(code))) => Err(code),
        _ => Ok(Vec::new()),
    }
}
