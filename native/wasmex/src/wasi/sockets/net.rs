//! What the guests of a store may do with sockets of preview 1: the rules, the limits, and why something was refused.

use crate::wasi::errno::{ACCES, Fail};
use crate::wasi::http::tls::{Connector, Roots};
use crate::wasi::network::Network;
use crate::wasi::resolve::Resolver;
use crate::wasi::sockets::address::Address;
use crate::wasi::sockets::socket::Family;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wasmtime_wasi::sockets::SocketAddrUse;

/// Rules, limits, and the refusal of the call that is under way.
pub struct Net {
    /// Whom the guests may reach, the same for components.
    pub network: Arc<Network>,
    /// Looks up names.
    pub resolver: Resolver,
    /// Encrypts where the rules say so.
    pub tls: Arc<Connector>,
    /// The most bytes that a guest may ask for as a buffer of the system.
    pub max_buffer: usize,
    /// How long connecting and looking up may take.
    pub timeout: Duration,
    /// Whether paths such as `tcp+dial://…` open sockets.
    pub by_path: bool,
    refusal: Option<String>,
}

impl Net {
    /// Nothing was refused yet.
    pub fn new(network: Arc<Network>, roots: Roots, max_buffer: usize, timeout: Duration) -> Self {
        Net {
            network,
            resolver: Resolver::default(),
            tls: Arc::new(Connector::new(roots, &[])),
            max_buffer,
            timeout,
            by_path: true,
            refusal: None,
        }
    }

    /// Grants nothing.
    pub fn nothing(network: Arc<Network>) -> Self {
        Net::new(network, Roots::System, 0, Duration::ZERO)
    }

    /// Why the call was refused; for the trace.
    pub fn take_refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }

    /// The guest may not do that.
    pub fn refuse<T>(&mut self, why: String) -> Result<T, Fail> {
        self.refusal = Some(why);
        Err(Fail::Errno(ACCES))
    }

    /// Whether a socket of this kind is of any use.
    pub fn check_kind(&mut self, family: Family, datagrams: bool) -> Result<(), Fail> {
        let (granted, kind) = match (family, datagrams) {
            (Family::Unix, _) => (self.network.any_unix(), "unix"),
            (_, true) => (self.network.any_udp(), "UDP"),
            (_, false) => (self.network.any_tcp(), "TCP"),
        };
        match granted {
            true => Ok(()),
            false => self.refuse(format!("neither dial: nor bind: allows {kind} sockets")),
        }
    }

    /// Whether an address may be used so.
    pub fn check(&mut self, address: SocketAddr, reason: SocketAddrUse) -> Result<(), Fail> {
        if self.network.check(address, reason) {
            return Ok(());
        }
        let (option, scheme) = match reason {
            SocketAddrUse::TcpConnect => ("dial:", "tcp"),
            SocketAddrUse::UdpSend => ("dial:", "udp"),
            SocketAddrUse::UdpBind => ("bind:", "udp"),
            _ => ("bind:", "tcp"),
        };
        self.refuse(format!("no rule of {option} allows {scheme}://{address}"))
    }

    /// Whether the path of a unix socket may be used so.
    pub fn check_path(&mut self, path: &Path, bind: bool) -> Result<(), Fail> {
        let (allowed, option) = match bind {
            true => (self.network.allows_unix_bind(path), "bind:"),
            false => (self.network.allows_unix_dial(path), "dial:"),
        };
        match allowed {
            true => Ok(()),
            false => self.refuse(format!(
                "no rule of {option} allows unix://{}",
                path.display()
            )),
        }
    }

    /// Whether a name may be looked up.
    pub fn check_name(&mut self, name: &str) -> Result<(), Fail> {
        match self.network.allows_lookup(name) {
            true => Ok(()),
            false => self.refuse(format!("no rule of dns: or dial: allows the name {name:?}")),
        }
    }

    /// Whether messages of this sender are handed to the guest.
    pub fn allows_sender(&self, from: SocketAddr) -> bool {
        self.network.check(from, SocketAddrUse::UdpReceive)
    }

    /// The rule for an address that the guest names, for a connected socket.
    pub fn check_dial(&mut self, to: &Address, datagrams: bool) -> Result<(), Fail> {
        match (to, datagrams) {
            (Address::Net(to), true) => self.check(*to, SocketAddrUse::UdpSend),
            (Address::Net(to), false) => self.check(*to, SocketAddrUse::TcpConnect),
            (Address::Unix(path), _) => self.check_path(path, false),
        }
    }

    /// The rule for an address that a socket is to have itself.
    pub fn check_bind(&mut self, at: &Address, datagrams: bool) -> Result<(), Fail> {
        match (at, datagrams) {
            (Address::Net(at), true) => self.check(*at, SocketAddrUse::UdpBind),
            (Address::Net(at), false) => self.check(*at, SocketAddrUse::TcpBind),
            (Address::Unix(path), _) => self.check_path(path, true),
        }
    }
}
