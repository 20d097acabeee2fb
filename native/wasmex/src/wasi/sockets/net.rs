//! Permissions of preview 1 sockets: rules, limits, and the reason of a denial.

use crate::wasi::errno::{ACCES, Fail};
use crate::wasi::sockets::address::{Address, Family};
use crate::wasi::sockets::reach::Reach;
use std::net::SocketAddr;
use std::path::Path;
use wasmtime_wasi::sockets::SocketAddrUse;

/// Rules, limits, and the denial of the current call.
pub struct Net {
    /// The addresses that guests may reach, the same for components.
    pub reach: Reach,
    /// Maximum size of a system buffer that a guest may request.
    pub max_buffer: usize,
    /// Whether paths such as `tcp+dial://…` open sockets.
    pub by_path: bool,
    refusal: Option<String>,
}

impl Net {
    /// Nothing was denied yet.
    pub fn new(reach: Reach, max_buffer: usize) -> Self {
        Net {
            reach,
            max_buffer,
            by_path: true,
            refusal: None,
        }
    }

    /// Why the call was denied; for the trace.
    pub fn take_refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }

    /// Denies the call.
    pub fn refuse<T>(&mut self, why: String) -> Result<T, Fail> {
        self.refusal = Some(why);
        Err(Fail::Errno(ACCES))
    }

    /// Whether this kind of socket can be used at all.
    pub fn check_kind(&mut self, family: Family, datagrams: bool) -> Result<(), Fail> {
        let (granted, kind) = match (family, datagrams) {
            (Family::Unix, _) => (self.reach.network.any_unix(), "unix"),
            (_, true) => (self.reach.network.any_udp(), "UDP"),
            (_, false) => (self.reach.network.any_tcp(), "TCP"),
        };
        match granted {
            true => Ok(()),
            false => self.refuse(format!("neither dial: nor bind: allows {kind} sockets")),
        }
    }

    /// Whether an address may be used this way.
    pub fn check(&mut self, address: SocketAddr, reason: SocketAddrUse) -> Result<(), Fail> {
        if self.reach.network.check(address, reason) {
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

    /// Whether the path of a unix socket may be used this way.
    pub fn check_path(&mut self, path: &Path, bind: bool) -> Result<(), Fail> {
        let (allowed, option) = match bind {
            true => (self.reach.network.allows_unix_bind(path), "bind:"),
            false => (self.reach.network.allows_unix_dial(path), "dial:"),
        };
        match allowed {
            true => Ok(()),
            false => self.refuse(format!(
                "no rule of {option} allows unix://{}",
                path.display()
            )),
        }
    }

    /// Whether messages from this sender are passed to the guest.
    pub fn allows_sender(&self, from: SocketAddr) -> bool {
        self.reach.network.check(from, SocketAddrUse::UdpReceive)
    }

    /// The rule for a peer address.
    pub fn check_dial(&mut self, to: &Address, datagrams: bool) -> Result<(), Fail> {
        match (to, datagrams) {
            (Address::Net(to), true) => self.check(*to, SocketAddrUse::UdpSend),
            (Address::Net(to), false) => self.check(*to, SocketAddrUse::TcpConnect),
            (Address::Unix(path), _) => self.check_path(path, false),
        }
    }

    /// The rule for a local address.
    pub fn check_bind(&mut self, at: &Address, datagrams: bool) -> Result<(), Fail> {
        match (at, datagrams) {
            (Address::Net(at), true) => self.check(*at, SocketAddrUse::UdpBind),
            (Address::Net(at), false) => self.check(*at, SocketAddrUse::TcpBind),
            (Address::Unix(path), _) => self.check_path(path, true),
        }
    }
}
