//! `wasi:sockets/ip-name-lookup` with the same resolver as preview 1. It replaces wasmtime's, which uses threads that
//! file calls need.

use crate::wasi::context::View;
use crate::wasi::names::Missing;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::vec;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

type Found = std::result::Result<Vec<IpAddr>, Missing>;

/// The addresses of a name, once they are there.
enum Addresses {
    Pending(Pin<Box<dyn Future<Output = Found> + Send>>),
    Ready(std::result::Result<vec::IntoIter<IpAddr>, Missing>),
}

impl Addresses {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<&mut std::result::Result<vec::IntoIter<IpAddr>, Missing>> {
        if let Addresses::Pending(lookup) = self {
            let Poll::Ready(found) = lookup.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            *self = Addresses::Ready(found.map(Vec::into_iter));
        }
        match self {
            Addresses::Ready(found) => Poll::Ready(found),
            Addresses::Pending(_) => Poll::Pending,
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        poll_fn(|cx| self.poll(cx).map(|_| ())).await;
    }
}

/// The linker must allow shadowing.
pub fn add_to_linker<T: View>(linker: &mut Linker<T>) -> Result<()> {
    let mut names = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    names.resource(
        "resolve-address-stream",
        ResourceType::host::<Addresses>(),
        |mut cx, rep| {
            let table = cx.data_mut().wasi().ctx().table;
            table.delete(Resource::<Addresses>::new_own(rep))?;
            Ok(())
        },
    )?;
    names.func_wrap("resolve-addresses", resolve)?;
    names.func_wrap("[method]resolve-address-stream.resolve-next-address", next)?;
    names.func_wrap("[method]resolve-address-stream.subscribe", wait)
}

type Answer<T> = Result<(std::result::Result<T, ErrorCode>,)>;

/// Immediate results are returned at once.
fn resolve<T: View>(
    mut cx: StoreContextMut<T>,
    (network, name): (Resource<Network>, String),
) -> Answer<Resource<Addresses>> {
    let (wasi, p2) = cx.data_mut().wasi_and_p2();
    let table = wasi.ctx().table;
    table.get(&network)?;
    let mut addresses = Addresses::Pending(Box::pin(p2.reach.names.find(&name)));
    let polled = addresses.poll(&mut Context::from_waker(Waker::noop()));
    if let Poll::Ready(Err(missing)) = polled {
        return Ok((Err(code(*missing)),));
    }
    Ok((Ok(table.push(addresses)?),))
}

fn next<T: View>(
    mut cx: StoreContextMut<T>,
    (addresses,): (Resource<Addresses>,),
) -> Answer<Option<IpAddress>> {
    let addresses = cx.data_mut().wasi().ctx().table.get_mut(&addresses)?;
    let polled = addresses.poll(&mut Context::from_waker(Waker::noop()));
    Ok((match polled {
        Poll::Pending => Err(ErrorCode::WouldBlock),
        Poll::Ready(Ok(found)) => Ok(found.next().map(IpAddress::from)),
        Poll::Ready(Err(missing)) => Err(code(*missing)),
    },))
}

fn wait<T: View>(
    mut cx: StoreContextMut<T>,
    (addresses,): (Resource<Addresses>,),
) -> Result<(Resource<DynPollable>,)> {
    let table = cx.data_mut().wasi().ctx().table;
    Ok((subscribe(table, addresses)?,))
}

fn code(missing: Missing) -> ErrorCode {
    match missing {
        Missing::Invalid => ErrorCode::InvalidArgument,
        Missing::Refused => ErrorCode::AccessDenied,
        Missing::Unknown => ErrorCode::NameUnresolvable,
        Missing::Timeout => ErrorCode::TemporaryResolverFailure,
    }
}
