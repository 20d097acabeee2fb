//! WASI 0.2 for components, on the same context as preview 1.

#[cfg_attr(not(unix), path = "none/connection.rs")]
mod connection;
mod create;
#[cfg(unix)]
mod directories;
mod lookup;
pub mod state;
mod streams;
mod tcp;

use crate::wasi::context::View;
use crate::wasi::host::HostModule;
use crate::wasi::http;
use crate::wasi::http::outgoing::Outgoing;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::WasiFilesystemView;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self as files, Descriptor, DescriptorFlags, DescriptorType, HostDescriptor, OpenFlags,
    PathFlags,
};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// WASI 0.2 for components. Grants are checked when a guest calls.
pub const fn host_module<T: View + WasiView + WasiHttpView>() -> HostModule<T> {
    HostModule {
        name: "wasi",
        provides,
        own: None,
        granted: |_| true,
        core: None,
        traced: None,
        component: Some(add_to_linker),
    }
}

/// Packages of `wasi:`. Some interfaces may be missing, such as those with types only.
const PACKAGES: [&str; 9] = [
    "cli",
    "clocks",
    "filesystem",
    "io",
    "random",
    "sockets",
    "http",
    "config",
    "keyvalue",
];

fn provides(interface: &str) -> bool {
    let name = interface.strip_prefix("wasi:");
    let package = name.and_then(|name| name.split_once('/'));
    package.is_some_and(|(package, _)| PACKAGES.contains(&package))
}

/// WASI 0.2. The linker allows shadowing from then on.
pub fn add_to_linker<T: View + WasiView + WasiHttpView>(linker: &mut Linker<T>) -> Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    refuse_waiting_files(linker)?;
    streams::add_to_linker(linker)?;
    #[cfg(unix)]
    directories::add_to_linker(linker)?;
    http::bindings::mend(linker)?;
    lookup::add_to_linker(linker)?;
    create::add_to_linker(linker)?;
    tcp::add_to_linker(linker)
}

/// FIFOs, sockets and block devices are not opened: the same rule as in `calls.rs`.
fn refuse_waiting_files<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    type Open = (
        Resource<Descriptor>,
        PathFlags,
        String,
        OpenFlags,
        DescriptorFlags,
    );
    linker
        .instance("wasi:filesystem/types@0.2.12")?
        .func_wrap_async(
            "[method]descriptor.open-at",
            |mut cx, (fd, path_flags, path, open, flags): Open| {
                Box::new(async move {
                    let mut files = cx.data_mut().filesystem();
                    let there = Resource::new_borrow(fd.rep());
                    let stat = files.stat_at(there, path_flags, path.clone()).await;
                    if stat.is_ok_and(|stat| may_wait(stat.type_)) {
                        return Ok((Err(files::ErrorCode::Unsupported),));
                    }
                    if !crate::vm::files::left() {
                        return Ok((Err(files::ErrorCode::InsufficientMemory),));
                    }
                    let opened = files.open_at(fd, path_flags, path, open, flags).await;
                    Ok((match opened {
                        Ok(opened) => Ok(opened),
                        Err(error) => Err(error.downcast()?),
                    },))
                })
            },
        )
}

fn may_wait(kind: DescriptorType) -> bool {
    !matches!(
        kind,
        DescriptorType::RegularFile
            | DescriptorType::Directory
            | DescriptorType::CharacterDevice
            | DescriptorType::SymbolicLink
    )
}

/// The `wasi:http` view of a store's data. The sender of its requests was attached to the store.
pub fn http_view<T: View>(data: &mut T) -> WasiHttpCtxView<'_> {
    let outgoing = data.slots().get::<Arc<Outgoing>>().cloned();
    let (wasi, p2) = data.wasi_and_p2();
    p2.http.hooks.0 = outgoing;
    WasiHttpCtxView {
        hooks: &mut p2.http.hooks,
        table: wasi.ctx().table,
        ctx: &mut p2.http.ctx,
    }
}
