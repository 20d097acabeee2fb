//! HTTP requests of plug-ins: checked here, sent by the library's client or by an Elixir function.

use crate::guest::data::StoreData;
use crate::plugin::exchange;
use crate::plugin::functions::{self, Bytes, HTTP};
use crate::plugin::memory::{self, argument};
use crate::plugin::requests::{Asked, Response};
use crate::plugin::state::{ENV, State};
use crate::vm::env;
use rustler::{Binary, Encoder, Term};
use wasmtime::{AsContextMut, Caller, Error, Linker, Result, StoreContextMut};

/// | function | type | meaning |
/// |---|---|---|
/// | http_request | (i64 json, i64 body or 0) → i64 | the body of the response, or 0 when it is empty. Frees both |
/// | http_status_code | () → i32 | of the last request; 0 before the first, and after one that failed |
/// | http_headers | () → i64 | of the last response, a JSON object; 0 where the host does not keep them |
pub fn define(linker: &mut Linker<StoreData>) -> Result<()> {
    linker.func_wrap_async(
        ENV,
        "http_request",
        |mut host: Caller<'_, StoreData>, (json, body): (u64, u64)| {
            Box::new(async move { request(&mut host.as_context_mut(), json, body).await })
        },
    )?;
    linker.func_wrap(
        ENV,
        "http_status_code",
        |mut host: Caller<'_, StoreData>| Ok(i32::from(State::of(host.data_mut())?.http.status)),
    )?;
    linker.func_wrap(ENV, "http_headers", |mut host: Caller<'_, StoreData>| {
        let cx = &mut host.as_context_mut();
        let headers = State::of(cx.data_mut())?.http.headers.clone();
        memory::put(cx, &headers.unwrap_or_default())
    })?;
    Ok(())
}

async fn request(cx: &mut StoreContextMut<'_, StoreData>, json: u64, body: u64) -> Result<u64> {
    exchange::hold(cx, 0)?;
    let (bytes, state) = argument(cx, json, "http request")?;
    state.http.forget();
    let asked: Asked = serde_json::from_slice(bytes)?;
    let head = state.http.check(&asked)?;
    let client = state.http.client();
    let length = argument(cx, body, "http request body")?.0.len() as u64;
    let sent = (body, length);
    let response = match client {
        Some(client) => exchange::perform(cx, &client, head, sent).await?,
        None => by_elixir(cx, asked, sent).await?,
    };
    memory::free(cx, json)?;
    memory::free(cx, body)?;
    State::of(cx.data_mut())?.http.remember(&response)?;
    let block = memory::put_all(cx, &response.body).await?;
    exchange::hold(cx, 0)?;
    Ok(block)
}

/// Through an Elixir function, which gets `{method, url, headers, body}`.
async fn by_elixir(
    cx: &mut StoreContextMut<'_, StoreData>,
    asked: Asked,
    body: (u64, u64),
) -> Result<Response> {
    let body = Bytes::take(cx, body).await?;
    let params = functions::in_env(|env| {
        let body = body.term(env, cx)?;
        let headers: Vec<(&String, &String)> = asked.headers.iter().collect();
        let method = asked.method().to_uppercase();
        let request = (method, &asked.url, headers, body).encode(env);
        Ok::<_, Error>(functions::params(env, &[request]))
    })??;
    let answer = functions::elixir(cx, HTTP, params).await?;
    functions::in_env(|env| {
        // SAFETY: the term came with the NIF that is polling now.
        decode(unsafe { env::term(env, answer) })
    })?
}

/// Decodes `{:ok, {status, headers, body}}` or `{:error, text}`, as returned by `Wasmex.Plugin.HTTP`.
fn decode(term: Term) -> Result<Response> {
    if let Ok((_, (status, headers, body))) =
        term.decode::<(rustler::Atom, (u16, Vec<(String, String)>, Binary))>()
    {
        return Ok(Response {
            status,
            headers,
            body: body.to_vec(),
        });
    }
    match term.decode::<(rustler::Atom, String)>() {
        Ok((_, text)) => Err(Error::msg(text)),
        Err(_) => Err(Error::msg("the HTTP function returned no response")),
    }
}
