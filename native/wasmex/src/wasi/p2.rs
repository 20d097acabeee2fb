//! WASI 0.2 for components, on the same context as preview 1.

use crate::vm::options::Options;
use crate::wasi::context::View;
use crate::wasi::host::HostModule;
use crate::wasi::http;
use crate::wasi::http::outgoing::{Hooks, Outgoing};
use crate::wasi::network::Network;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::WasiFilesystemView;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self as files, Descriptor, DescriptorFlags, DescriptorType, HostDescriptor, OpenFlags,
    PathFlags,
};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    self, Host, HostResolveAddressStream, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{
    self, ErrorCode, IpAddress, Network as NetworkHandle,
};
use wasmtime_wasi::p2::{DynPollable, SocketError, SocketResult};
use wasmtime_wasi::sockets::{WasiSocketsCtxView, WasiSocketsView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// A store's state for components besides the WASI context.
#[derive(Default)]
pub struct P2 {
    /// The addresses and names that its guests may reach.
    pub network: Arc<Network>,
    /// Outgoing HTTP requests.
    pub http: HttpState,
    /// Name lookups in progress, by the handle of their result.
    lookups: HashMap<u32, String>,
}

/// The `wasi:http` state of a store.
pub struct HttpState {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl Default for HttpState {
    fn default() -> Self {
        HttpState {
            ctx: WasiHttpCtx::new(),
            hooks: Hooks::default(),
        }
    }
}

impl P2 {
    /// Without the options specific to components, nothing is granted.
    pub fn new(options: &Options) -> Result<Self> {
        let network = Network::new(options)?;
        Ok(P2 {
            network: Arc::new(network),
            http: HttpState::default(),
            lookups: HashMap::new(),
        })
    }
}

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

fn add_to_linker<T: View + WasiView + WasiHttpView>(linker: &mut Linker<T>) -> Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    refuse_waiting_files(linker)?;
    http::bindings::mend(linker)?;
    ip_name_lookup::add_to_linker::<T, GuardedLookup>(linker, |data| {
        let (wasi, p2) = data.wasi_and_p2();
        Lookups {
            inner: wasi.sockets(),
            network: p2.network.clone(),
            names: &mut p2.lookups,
        }
    })
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

/// Name lookup that checks the allow-list first and remembers the resulting addresses.
struct GuardedLookup;

impl HasData for GuardedLookup {
    type Data<'a> = Lookups<'a>;
}

struct Lookups<'a> {
    inner: WasiSocketsCtxView<'a>,
    network: Arc<Network>,
    names: &'a mut HashMap<u32, String>,
}

impl Host for Lookups<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<NetworkHandle>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        if !self.network.allows_lookup(&name) {
            return Err(ErrorCode::AccessDenied.into());
        }
        let stream = self.inner.resolve_addresses(network, name.clone())?;
        self.names.insert(stream.rep(), name);
        Ok(stream)
    }
}

impl network::Host for Lookups<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime_wasi::p2::IoError>,
    ) -> Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.inner, error)
    }
}

impl network::HostNetwork for Lookups<'_> {
    fn drop(&mut self, handle: Resource<NetworkHandle>) -> Result<()> {
        network::HostNetwork::drop(&mut self.inner, handle)
    }
}

impl HostResolveAddressStream for Lookups<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let name = self.names.get(&stream.rep());
        let address = self.inner.resolve_next_address(stream)?;
        if let (Some(name), Some(address)) = (name, &address) {
            self.network.remember(name, ip(address));
        }
        Ok(address)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Resource<DynPollable>> {
        self.inner.subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> Result<()> {
        self.names.remove(&stream.rep());
        HostResolveAddressStream::drop(&mut self.inner, stream)
    }
}

fn ip(address: &IpAddress) -> IpAddr {
    match *address {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}
