//! New sockets of components, as long as there are files left for them.

use crate::vm::files;
use crate::wasi::context::View;
use crate::wasi::p2::tcp::{Answer, told};
use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp::TcpSocket;
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::sockets::WasiSocketsView;

/// The linker must allow shadowing.
pub fn add_to_linker<T: View>(linker: &mut Linker<T>) -> Result<()> {
    linker
        .instance("wasi:sockets/tcp-create-socket@0.2.12")?
        .func_wrap("create-tcp-socket", tcp)?;
    linker
        .instance("wasi:sockets/udp-create-socket@0.2.12")?
        .func_wrap_async("create-udp-socket", |mut cx, (family,)| {
            Box::new(async move {
                if !files::left() {
                    return Ok((Err(ErrorCode::NewSocketLimit),));
                }
                let (wasi, _) = cx.data_mut().wasi_and_p2();
                let mut sockets = wasi.sockets();
                told(udp_create_socket::Host::create_udp_socket(&mut sockets, family).await)
            })
        })
}

fn tcp<T: View>(
    mut cx: StoreContextMut<T>,
    (family,): (IpAddressFamily,),
) -> Answer<Resource<TcpSocket>> {
    if !files::left() {
        return Ok((Err(ErrorCode::NewSocketLimit),));
    }
    let (wasi, _) = cx.data_mut().wasi_and_p2();
    told(tcp_create_socket::Host::create_tcp_socket(
        &mut wasi.sockets(),
        family,
    ))
}
