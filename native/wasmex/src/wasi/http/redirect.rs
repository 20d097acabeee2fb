//! The target of a redirect response, for clients that follow redirects (RFC 9110, 15.4).

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderName, LOCATION,
};
use http::request::Parts;
use http::{Method, Response, StatusCode, Uri};
use url::Url;
use wasmtime_wasi_http::Error;

/// The next request's head; `None` if this response is the last: it is not a redirect, or it would need the body, which
/// is consumed.
pub fn next<B>(
    head: &Parts,
    had_body: bool,
    response: &Response<B>,
) -> Option<Result<Parts, Error>> {
    let method = match response.status() {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if head.method == Method::POST => {
            Method::GET
        }
        StatusCode::SEE_OTHER if head.method != Method::HEAD => Method::GET,
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => head.method.clone(),
        _ => return None,
    };
    let location = response.headers().get(LOCATION)?;
    if had_body && method == head.method {
        return None;
    }
    Some(go(head, method, location.as_bytes()))
}

fn go(head: &Parts, method: Method, location: &[u8]) -> Result<Parts, Error> {
    let invalid = || Error::HttpRequestUriInvalid;
    let from = Url::parse(&head.uri.to_string()).map_err(|_| invalid())?;
    let location = std::str::from_utf8(location).map_err(|_| invalid())?;
    let to = from.join(location).map_err(|_| invalid())?;
    // A secret sent over TLS must not continue without it.
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(Error::HttpRequestDenied);
    }
    let mut next = head.clone();
    next.uri = to.as_str().parse::<Uri>().map_err(|_| invalid())?;
    if from.origin() != to.origin() {
        remove(&mut next, &[AUTHORIZATION, COOKIE]);
    }
    if method != head.method {
        remove(&mut next, &[CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING]);
    }
    next.method = method;
    Ok(next)
}

fn remove(head: &mut Parts, names: &[HeaderName]) {
    for name in names {
        head.headers.remove(name);
    }
}
