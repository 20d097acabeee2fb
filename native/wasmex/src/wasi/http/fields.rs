//! Conversion of header fields between terms and HTTP types.

use crate::vm::terms;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustler::{Binary, Encoder, Env, Term};

/// `[{name, value}]`
pub fn headers<'a>(env: Env<'a>, headers: &HeaderMap) -> Term<'a> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), terms::binary(env, value.as_bytes())).encode(env))
        .collect::<Vec<_>>()
        .encode(env)
}

/// From `[{name, value}]`, without invalid fields; `None` if there are more fields or bytes than these.
pub fn header_map(
    headers: &[(Binary, Binary)],
    (fields, bytes): (usize, usize),
) -> Option<HeaderMap> {
    let lengths = headers.iter().map(|(name, value)| name.len() + value.len());
    if headers.len() > fields || lengths.sum::<usize>() > bytes {
        return None;
    }
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let Ok(name) = HeaderName::from_bytes(name)
            && let Ok(value) = HeaderValue::from_bytes(value)
            && map.try_append(name, value).is_err()
        {
            return None;
        }
    }
    Some(map)
}
