//! One HTTP exchange of a plug-in through the library's client. The plug-in waits without holding a thread.

use crate::guest::data::StoreData;
use crate::plugin::memory;
use crate::plugin::requests::Response;
use crate::plugin::state::State;
use crate::vm::runtime;
use crate::wasi::http::client::Client;
use crate::wasi::http::error;
use crate::wasi::http::head::Head;
use crate::wasi::http::pieces::{PiecesBody, pieces};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use wasmtime::{Error, Result, StoreContextMut};

/// Sends a request with this range of the memory as its body, and reads the whole response.
pub async fn perform(
    cx: &mut StoreContextMut<'_, StoreData>,
    client: &Client,
    head: Head,
    (offset, length): (u64, u64),
) -> Result<Response> {
    let (mut owner, body) = pieces(offset, length);
    let mut request = head.request(body);
    if length > 0 {
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    let read = AtomicU64::new(0);
    let most = State::of(cx.data_mut())?.http.max_response;
    let mut exchange = pin!(runtime::within(exchange(client, request, most, &read)));
    poll_fn(|context| {
        owner.poll(context, |offset, length| {
            let bytes = memory::bytes(cx, (offset, length));
            Bytes::copy_from_slice(bytes.unwrap_or_default())
        });
        let polled = exchange.as_mut().poll(context);
        if let Err(error) = hold(cx, read.load(Ordering::Relaxed)) {
            return Poll::Ready(Err(error));
        }
        polled.map(|response| match response {
            Some(response) => response.map_err(Error::msg),
            None => Err(Error::msg("the operating system refused a thread for HTTP")),
        })
    })
    .await
}

/// The whole response, or an error message. `read` is charged for it meanwhile.
async fn exchange(
    client: &Client,
    request: Request<PiecesBody>,
    most: u64,
    read: &AtomicU64,
) -> std::result::Result<Response, String> {
    let url = request.uri().to_string();
    let has_body = request.headers().contains_key(CONTENT_LENGTH);
    let request = request.map(BodyExt::boxed_unsync);
    let response = client.send(request, None).await;
    let (head, mut body) = response
        .map_err(|error| failed(&url, most, &error))?
        .into_parts();
    if has_body && wants_it_again(head.status) && head.headers.contains_key(LOCATION) {
        return Err("redirect failed: the body can't be sent again".into());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame
            .map_err(|error| failed(&url, most, &error))?
            .into_data()
        {
            bytes.extend_from_slice(&data);
            read.store(bytes.capacity() as u64, Ordering::Relaxed);
        }
    }
    Ok(Response {
        status: head.status.as_u16(),
        headers: texts(&head.headers),
        body: bytes,
    })
}

fn failed(url: &str, most: u64, error: &wasmtime_wasi_http::Error) -> String {
    use wasmtime_wasi_http::Error::*;
    let text = error::text(error);
    match error {
        HttpRequestDenied => {
            format!("HTTP request to {url} is not allowed: a redirect leads where {text}")
        }
        DestinationIpProhibited => format!("HTTP request to {url} is not allowed: {text}"),
        HttpResponseBodySize(_) => error::too_long(most),
        _ => format!("HTTP request to {url} failed: {text}"),
    }
}

fn wants_it_again(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    )
}

/// Values are UTF-8, otherwise decoded as ISO 8859-1.
fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let headers = headers.iter();
    headers
        .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
        .collect()
}

/// Counts bytes of an incoming response as memory of the plug-in.
pub fn hold(cx: &mut StoreContextMut<'_, StoreData>, now: u64) -> Result<()> {
    let before = std::mem::replace(&mut State::of(cx.data_mut())?.http.held, now);
    Ok(cx.data_mut().limits.hold(before, now)?)
}
