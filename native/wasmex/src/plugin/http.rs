//! HTTP requests of plug-ins: checked here, performed by a function of Elixir.

use crate::guest::data::StoreData;
use crate::plugin::functions::{self, HTTP, binary};
use crate::plugin::memory::{self, argument};
use crate::plugin::requests::Response;
use crate::plugin::state::{ENV, State};
use crate::vm::env;
use rustler::{Binary, Encoder, Env, Term};
use serde::Deserialize;
use std::collections::BTreeMap;
use wasmtime::{AsContextMut, Caller, Error, Linker, Result, StoreContextMut};

/// The request as plug-ins write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    method: Option<String>,
}

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
    let (bytes, state) = argument(cx, json, "http request")?;
    state.http.forget();
    let request: Request = serde_json::from_slice(bytes)?;
    state.http.check(&request.url)?;
    let (bytes, _) = argument(cx, body, "http request body")?;
    let params = functions::in_env(|env| functions::params(env, &[request.encode(env, bytes)]))?;
    memory::free(cx, json)?;
    memory::free(cx, body)?;
    let answer = functions::elixir(cx, HTTP, params).await?;
    let response = functions::in_env(|env| {
        // SAFETY: the term came with the NIF that polls right now.
        decode(unsafe { env::term(env, answer) })
    })??;
    State::of(cx.data_mut())?.http.remember(&response)?;
    memory::put(cx, &response.body)
}

impl Request {
    /// `{method, url, headers, body}`
    fn encode<'a>(&self, env: Env<'a>, body: &[u8]) -> Term<'a> {
        let method = self.method.as_deref().unwrap_or("GET").to_uppercase();
        let headers: Vec<(&String, &String)> = self.headers.iter().collect();
        (method, &self.url, headers, binary(env, body)).encode(env)
    }
}

/// From `{:ok, {status, headers, body}}` or `{:error, text}`, as `Wasmex.Plugin.HTTP` makes them.
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
