//! Requests of the application itself, such as for a module: the whole response is sent as a message.
//!
//! The requesting process gets `{:wasmex_fetched, reference, {:ok, {status, body}} | {:error, text}}`. If it dies
//! before, the connection is closed.

use crate::vm::atoms;
use crate::vm::error::Error as VmError;
use crate::vm::resource::{ResourceArc, named};
use crate::vm::runtime;
use crate::vm::term_box::TermBox;
use crate::wasi::http::client::Client;
use crate::wasi::http::error;
use crate::wasi::http::head::Head;
use crate::wasi::http::limits::{Limits, Policy};
use crate::wasi::http::target::{Host, Target};
use crate::wasi::http::tls::Roots;
use crate::wasi::http::whole;
use crate::wasi::rules::{self, Rule, Rules};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use rustler::{
    Binary, Encoder, Env, LocalPid, Monitor, NifStruct, OwnedBinary, OwnedEnv, Resource, Term,
};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use wasmtime_wasi_http::WasiBody;

const REDIRECTS: u32 = 10;

/// The task of a request. It monitors its process.
#[derive(Default)]
pub struct FetchResource(Mutex<Option<AbortHandle>>);

impl std::panic::RefUnwindSafe for FetchResource {}

named!(FetchResource, "request");

impl Resource for FetchResource {
    const IMPLEMENTS_DOWN: bool = true;

    /// The process has died.
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        let task = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
        }
    }
}

/// `Wasmex.Plugin.HTTP.Fetch`.
#[derive(NifStruct)]
#[rustler(decode)]
#[module = "Wasmex.Plugin.HTTP.Fetch"]
struct Fetch<'a> {
    method: &'a str,
    url: &'a str,
    headers: Vec<(&'a str, Binary<'a>)>,
    /// Milliseconds.
    timeout: u64,
    /// Maximum body size in bytes.
    most: u64,
    /// Trusted certificates in DER; nil for the system's.
    cacerts: Option<Vec<Binary<'a>>>,
}

/// `:ok`, followed by the message; or an error.
#[rustler::nif]
fn http_fetch<'a>(env: Env<'a>, reference: Term<'a>, fetch: Fetch<'a>) -> Term<'a> {
    let headers = fetch.headers.iter();
    let headers = headers.map(|(name, value)| (*name, value.as_slice()));
    let head = Head::new(fetch.method, fetch.url, headers);
    let (head, target) = match head.and_then(|head| Ok((head.target()?, head))) {
        Ok((target, head)) => (head, target),
        Err(text) => return (atoms::error(), text).encode(env),
    };
    let Some(runtime) = runtime::get() else {
        return VmError::text(
            atoms::no_threads(),
            "the operating system refused a thread for HTTP",
        )
        .to_term(env);
    };
    let policy = policy(&fetch, target);
    let (pid, reference) = (env.pid(), TermBox::new(reference));
    let resource = ResourceArc::new(FetchResource::default());
    let Some(_monitor) = resource.monitor(Some(env), &pid) else {
        return atoms::ok().encode(env);
    };
    let held = resource.clone();
    let task = runtime.spawn(async move {
        let fetched = perform(head, policy).await;
        send(&pid, &reference, fetched);
        drop(held);
    });
    let mut slot = resource.0.lock().unwrap_or_else(PoisonError::into_inner);
    *slot = Some(task.abort_handle());
    atoms::ok().encode(env)
}

/// The application wrote the URL, so any host is allowed except link-local ones; a redirect may only lead to public
/// hosts.
fn policy(fetch: &Fetch, target: Target) -> Policy {
    let own = match target.host {
        Host::Name(name) => rules::Target::Own(name),
        Host::Address(address) => rules::Target::net(address, 128),
    };
    let rules = [own, rules::Target::Any].map(Rule::anywhere);
    Policy {
        rules: Rules::new(rules.into()),
        roots: Roots::of(fetch.cacerts.as_deref()),
        limits: Limits {
            time: Duration::from_millis(fetch.timeout),
            request: None,
            response: Some(fetch.most),
            total: None,
            exchanges: 1,
            redirects: REDIRECTS,
        },
    }
}

async fn perform(head: Head, policy: Policy) -> Result<(u16, OwnedBinary), String> {
    let body: WasiBody = Empty::<Bytes>::new()
        .map_err(|never| match never {})
        .boxed_unsync();
    let client = Client::new(policy);
    let response = client.send(head.request(body), None).await;
    let response = response.map_err(|error| error::text(&error))?;
    let status = response.status().as_u16();
    // The client limits it.
    let body = whole::read(response.into_body(), |_| Ok(())).await;
    Ok((status, body.map_err(|error| error::text(&error))?))
}

fn send(pid: &LocalPid, reference: &TermBox, fetched: Result<(u16, OwnedBinary), String>) {
    // The process may have died, which is not an error.
    let _ = OwnedEnv::new().send_and_clear(pid, |env| {
        let result = match fetched {
            Ok((status, body)) => (atoms::ok(), (status, body.release(env))).encode(env),
            Err(text) => (atoms::error(), text).encode(env),
        };
        (atoms::wasmex_fetched(), reference.get(env), result).encode(env)
    });
}
