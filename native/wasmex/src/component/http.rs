//! Requests to a component that exports `wasi:http/incoming-handler`.
//!
//! The response goes into a pipe: a header block, then the body, as a CGI program prints it, so components are served
//! like programs. The task that runs the guest also copies the body between slices: it advances while the process that
//! drives the guest runs, and that process makes room in the pipe.

use crate::component::instance::ComponentInstance;
use crate::component::state::Underway;
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::job::{Job, Running, Task};
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::resource::ResourceArc;
use crate::wasi::http::body::{self, PipeBody};
use crate::wasi::http::fields::header_map;
use crate::wasi::pipe::{Pipe, PipeResource};
use bytes::Bytes;
use rustler::sys::ErlNifTerm;
use rustler::{Binary, Encoder, Env, NifResult, Term};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::oneshot;
use wasmtime::component::{Component, ComponentExportIndex, Resource};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};

/// One request to a component.
pub struct Handle {
    instance: ResourceArc<ComponentInstance>,
    request: http::Request<()>,
    scheme: Scheme,
    body: Arc<Pipe>,
    response: Arc<Pipe>,
}

/// The most fields of a request, and the most bytes. Servers have lower limits.
const MOST_FIELDS: usize = 10_000;
const LONGEST: usize = 1 << 20;

fn too_large(env: Env) -> Term {
    let text = "the request has more than 10,000 fields, or more than 1 MiB of them";
    Error::text(atoms::input(), text).to_term(env)
}

/// `head` is `{method, scheme, uri, headers}`; `body` and `response` are pipes.
#[rustler::nif]
fn component_handle_http<'a>(
    env: Env<'a>,
    instance: ResourceArc<ComponentInstance>,
    head: (&'a str, &'a str, &'a str, Term<'a>),
    body: ResourceArc<PipeResource>,
    response: ResourceArc<PipeResource>,
) -> NifResult<Term<'a>> {
    if let Err(error) = instance.components.check() {
        return Ok(error.to_term(env));
    }
    let (method, scheme, uri, headers) = head;
    let request = http::Request::builder()
        .method(method.as_bytes())
        .uri(uri)
        .body(());
    let mut request = match request {
        Ok(request) => request,
        Err(error) => return Ok(Error::text(atoms::input(), error).to_term(env)),
    };
    // Counted first: decoding takes longer.
    let headers: Vec<(Binary, Binary)> = match headers.list_length()? {
        0..=MOST_FIELDS => headers.decode()?,
        _ => return Ok(too_large(env)),
    };
    let Some(headers) = header_map(&headers, (MOST_FIELDS, LONGEST)) else {
        return Ok(too_large(env));
    };
    *request.headers_mut() = headers;
    let scheme = match scheme {
        "https" => Scheme::Https,
        _ => Scheme::Http,
    };
    let cell = instance.cell.clone();
    let handle = Handle {
        instance,
        request,
        scheme,
        body: body.pipe.clone(),
        response: response.pipe.clone(),
    };
    Ok(drive::begin(
        env,
        &cell,
        Via::Store,
        Job::task(handle, None),
    ))
}

type Outcome = std::result::Result<http::Response<HyperOutgoingBody>, ErrorCode>;
type HandleFunc = wasmtime::component::TypedFunc<
    (
        Resource<HostIncomingRequest>,
        Resource<HostResponseOutparam>,
    ),
    (),
>;

impl Task for Handle {
    fn run<'a>(self: Box<Self>, cx: StoreContextMut<'a, StoreData>) -> Running<'a> {
        Box::pin(run(*self, cx))
    }
}

async fn run(handle: Handle, mut cx: StoreContextMut<'_, StoreData>) -> Result<ErlNifTerm> {
    let Handle {
        instance,
        request,
        scheme,
        body,
        response,
    } = handle;
    let func = find(&instance, &mut cx)?;
    let request = request.map(|()| PipeBody::new(body));
    let (sender, receiver) = oneshot::channel();
    let mut http = cx.data_mut().http();
    let request = http
        .new_incoming_request(scheme, request)
        .map_err(Error::Guest)?;
    let out = http.new_response_outparam(sender).map_err(Error::Guest)?;
    let underway = Underway::begin(&instance);
    let call = func.call_async(cx.as_context_mut(), (request, out));
    let copied = both(call, copy(receiver, &response)).await?;
    // The guest has returned, even if copying its response failed.
    underway.end();
    copied?;
    response.close();
    env::in_env(|env| Vec::<Term>::new().encode(env).as_c_arg()).ok_or(Error::Cancelled)
}

fn find(
    instance: &ComponentInstance,
    cx: &mut StoreContextMut<'_, StoreData>,
) -> Result<HandleFunc> {
    let index = export(&instance.component.component).ok_or_else(|| {
        let message = "the component exports no wasi:http/incoming-handler@0.2";
        Error::text(atoms::not_a_function(), message)
    })?;
    instance
        .instance
        .get_typed_func(cx, index)
        .map_err(|error| Error::chain(atoms::unsupported(), &error))
}

fn export(component: &Component) -> Option<ComponentExportIndex> {
    let engine = component.engine();
    let ty = component.component_type();
    let name = ty
        .exports(engine)
        .map(|(name, _)| name)
        .find(|name| name.starts_with("wasi:http/incoming-handler@0.2"))?;
    let interface = component.get_export_index(None, name)?;
    component.get_export_index(Some(&interface), "handle")
}

/// Runs the guest and copies its response. The inner result is that of copying; if the guest fails, both end at once.
async fn both(
    call: impl Future<Output = wasmtime::Result<()>>,
    copy: impl Future<Output = Result<()>>,
) -> Result<Result<()>> {
    let (mut call, mut copy) = (pin!(call), pin!(copy));
    let (mut called, mut copied) = (false, None);
    std::future::poll_fn(|context| {
        if !called && let Poll::Ready(result) = call.as_mut().poll(context) {
            result.map_err(Error::Guest)?;
            called = true;
        }
        if copied.is_none()
            && let Poll::Ready(result) = copy.as_mut().poll(context)
        {
            copied = Some(result);
        }
        match (called, &copied) {
            (true, Some(_)) => Poll::Ready(Ok(copied.take().unwrap_or(Ok(())))),
            _ => Poll::Pending,
        }
    })
    .await
}

async fn copy(response: oneshot::Receiver<Outcome>, pipe: &Pipe) -> Result<()> {
    let broken = |why: &str| Err(Error::text(atoms::output(), why));
    match response.await {
        Ok(Ok(response)) => {
            let (head, body) = response.into_parts();
            if body::write(pipe, Bytes::from(block(&head))).await && body::copy(body, pipe).await {
                return Ok(());
            }
            broken("the body of the response was aborted")
        }
        Ok(Err(code)) => broken(&format!("the component answered with an error: {code:?}")),
        Err(_) => broken("the component never answered: it dropped its response-outparam"),
    }
}

fn block(head: &http::response::Parts) -> Vec<u8> {
    let mut block = format!("Status: {}\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in &head.headers {
        block.extend_from_slice(name.as_str().as_bytes());
        block.extend_from_slice(b": ");
        block.extend_from_slice(value.as_bytes());
        block.extend_from_slice(b"\r\n");
    }
    block.extend_from_slice(b"\r\n");
    block
}
