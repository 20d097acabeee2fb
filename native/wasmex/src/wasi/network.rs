//! Which addresses and names a guest may reach: those that Elixir lists, and no others.

use rustler::{Atom, NifTuple};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

use crate::vm::atoms;

/// One entry of an allow-list: `{kind, text, port | nil}`.
#[derive(NifTuple)]
pub struct Rule {
    /// `:any`, `:ip`, `:name` or `:suffix` (of a name, with its dot).
    kind: Atom,
    text: String,
    port: Option<u16>,
}

impl Rule {
    fn allows_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        match self.kind {
            kind if kind == atoms::any() => true,
            kind if kind == atoms::name() => name.eq_ignore_ascii_case(&self.text),
            kind if kind == atoms::suffix() => name
                .len()
                .checked_sub(self.text.len())
                .filter(|at| *at > 0)
                .and_then(|at| name.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(&self.text)),
            _ => false,
        }
    }

    fn allows(&self, address: SocketAddr, names: &[String]) -> bool {
        if self.port.is_some_and(|port| port != address.port()) {
            return false;
        }
        match self.kind {
            kind if kind == atoms::any() => true,
            kind if kind == atoms::ip() => {
                self.text.parse::<IpAddr>().map(canonical) == Ok(canonical(address.ip()))
            }
            _ => names.iter().any(|name| self.allows_name(name)),
        }
    }
}

/// An IPv4 address in IPv6's clothes is that IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What the guests of a store may reach.
#[derive(Default)]
pub struct Network {
    /// Where TCP sockets may connect.
    pub tcp: Vec<Rule>,
    /// Where UDP sockets may send.
    pub udp: Vec<Rule>,
    /// Where sockets may listen.
    pub listen: Vec<Rule>,
    /// Names that may be looked up besides those in `tcp` and `udp`.
    pub lookup: Vec<Rule>,
    /// The names that led to an address.
    resolved: Mutex<HashMap<IpAddr, Vec<String>>>,
}

/// A guest that looks up names without end is not remembered without end: so many addresses, so many names of each.
const MAX_RESOLVED: usize = 1024;
const MAX_NAMES: usize = 16;

impl Network {
    /// From the allow-lists.
    pub fn new(tcp: Vec<Rule>, udp: Vec<Rule>, listen: Vec<Rule>, lookup: Vec<Rule>) -> Self {
        Network {
            tcp,
            udp,
            listen,
            lookup,
            resolved: Mutex::default(),
        }
    }

    fn names(&self, address: IpAddr) -> Vec<String> {
        self.resolved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&canonical(address))
            .cloned()
            .unwrap_or_default()
    }

    /// A name led to this address.
    pub fn remember(&self, name: &str, address: IpAddr) {
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if resolved.len() >= MAX_RESOLVED {
            resolved.clear();
        }
        let name = name.to_ascii_lowercase();
        let names = resolved.entry(canonical(address)).or_default();
        if !names.contains(&name) {
            names.truncate(MAX_NAMES - 1);
            names.insert(0, name);
        }
    }

    /// Whether the name may be looked up.
    pub fn allows_lookup(&self, name: &str) -> bool {
        let mut rules = self.lookup.iter().chain(&self.tcp).chain(&self.udp);
        rules.any(|rule| rule.allows_name(name))
    }

    fn allows(&self, rules: &[Rule], address: SocketAddr) -> bool {
        let names = self.names(address.ip());
        rules.iter().any(|rule| rule.allows(address, &names))
    }

    fn check(&self, address: SocketAddr, reason: SocketAddrUse) -> bool {
        // What the system chooses by itself for a socket that connects or sends.
        let unspecified = address.ip().is_unspecified() && address.port() == 0;
        match reason {
            SocketAddrUse::TcpConnect => self.allows(&self.tcp, address),
            SocketAddrUse::UdpSend => self.allows(&self.udp, address),
            SocketAddrUse::TcpBind => {
                self.allows(&self.listen, address) || (unspecified && !self.tcp.is_empty())
            }
            SocketAddrUse::UdpBind => {
                self.allows(&self.listen, address) || (unspecified && !self.udp.is_empty())
            }
            SocketAddrUse::TcpListen => self.allows(&self.listen, address),
            // Whoever comes to an address that the guest may listen at.
            _ => !self.listen.is_empty() || self.allows(&self.udp, address),
        }
    }

    /// Makes a WASI context ask for each address.
    pub fn apply(self: &Arc<Self>, builder: &mut WasiCtxBuilder) {
        let any_tcp = !self.tcp.is_empty() || !self.listen.is_empty();
        let any_udp = !self.udp.is_empty() || !self.listen.is_empty();
        let lookup = [&self.lookup, &self.tcp, &self.udp];
        let any_lookup = lookup.iter().any(|rules| !rules.is_empty());
        builder.allow_tcp(any_tcp);
        builder.allow_udp(any_udp);
        builder.allow_ip_name_lookup(any_lookup);
        let network = self.clone();
        builder.socket_addr_check(move |address, reason| {
            let allowed = network.check(address, reason);
            Box::pin(async move { allowed })
        });
    }
}
