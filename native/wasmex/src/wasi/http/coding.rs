//! The transfer coding of a response.

use http::Response;
use http::header::{HeaderValue, TRANSFER_ENCODING};
use http_body::Body;

/// The transfer coding that keeps a guest from reading this response's body, if one does. The guest does not see the
/// `transfer-encoding` header, so hyper must have undone all codings, and it only undoes one `chunked` (RFC 9112,
/// section 7).
pub fn unknown(response: &Response<impl Body>) -> Option<String> {
    let values = response.headers().get_all(TRANSFER_ENCODING);
    let codings: Vec<String> = values.iter().flat_map(codings).collect();
    match codings.as_slice() {
        [] => None,
        [one] if one == "chunked" => None,
        // There is nothing to decode, as in the response to a HEAD request.
        _ if response.body().is_end_stream() => None,
        all => {
            let mut others = all.iter().filter(|coding| *coding != "chunked");
            Some(others.next().map_or("chunked", String::as_str).to_string())
        }
    }
}

/// In lower case: names of codings are compared without case.
fn codings(value: &HeaderValue) -> Vec<String> {
    String::from_utf8_lossy(value.as_bytes())
        .split(',')
        .map(|coding| coding.trim().to_ascii_lowercase())
        .collect()
}
