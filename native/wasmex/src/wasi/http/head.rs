//! A request head parsed from texts.

use crate::wasi::http::target::Target;
use crate::wasi::rules::Rules;
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use url::Url;

/// The user agent, if the request sets none.
const AGENT: &str = concat!("wasmex/", env!("CARGO_PKG_VERSION"));

/// The head of a request made by the host.
pub struct Head {
    method: Method,
    /// The URL without user and fragment, which are for the client only.
    pub uri: Uri,
    headers: HeaderMap,
}

impl Head {
    /// Or an error message.
    pub fn new<'a>(
        method: &str,
        url: &str,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, String> {
        let mut url = Url::parse(url).map_err(|error| format!("Invalid URL: {error:?}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("unknown scheme: {}", url.scheme()));
        }
        let method = method.to_ascii_uppercase();
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| "invalid HTTP method")?;
        let mut headers = read(headers)?;
        if let Some(credentials) = credentials(&mut url) {
            headers.entry(AUTHORIZATION).or_insert(credentials);
        }
        url.set_fragment(None);
        let uri = url.as_str().parse().map_err(|_| "Invalid URL")?;
        Ok(Head {
            method,
            uri,
            headers,
        })
    }

    /// The host and the port of its URL.
    pub fn target(&self) -> Result<Target, String> {
        Target::of(&self.uri).map_err(|_| "Invalid URL".into())
    }

    /// Whether the rules allow its host, before a lookup.
    pub fn allowed(&self, rules: &Rules) -> bool {
        Target::of(&self.uri).is_ok_and(|target| target.allowed(rules))
    }

    /// The request with this body.
    pub fn request<B>(self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

fn read<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| "invalid HTTP header name")?;
        let value = HeaderValue::from_bytes(value).map_err(|_| "invalid HTTP header value")?;
        map.try_append(name, value)
            .map_err(|_| "the headers of the request are too many")?;
    }
    map.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    map.entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(AGENT));
    Ok(map)
}

/// Moves the user and password of a URL into a header.
fn credentials(url: &mut Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let user = percent_decoded(url.username());
    let password = percent_decoded(url.password().unwrap_or_default());
    let both = [&user[..], b":", &password[..]].concat();
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    let mut value = HeaderValue::from_str(&format!("Basic {}", base64(&both))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) if let Some(byte) = hex(*high, *low) => {
                decoded.push(byte);
                rest = after;
            }
            _ => decoded.push(*first),
        }
    }
    decoded
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |char: u8| char::from(char).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            let is_there = digit <= three.len();
            text.push(if is_there {
                DIGITS[value as usize].into()
            } else {
                '='
            });
        }
    }
    text
}
