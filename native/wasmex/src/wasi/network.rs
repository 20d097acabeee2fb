//! The sockets of a store's guests: which addresses and names they may reach, by the lists that Elixir made.

use crate::wasi::rules::{Rule, Rules};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

#[derive(Default)]
pub struct Network {
    tcp: Rules,
    udp: Rules,
    listen: Rules,
    /// Names that may be looked up besides those in `tcp` and `udp`.
    lookup: Rules,
    /// The names that led to an address.
    resolved: Mutex<HashMap<IpAddr, Vec<String>>>,
}

/// A guest that looks up names without end is not remembered without end: so many addresses, so many names of each.
const MAX_RESOLVED: usize = 1024;
const MAX_NAMES: usize = 16;

impl Network {
    pub fn new(tcp: Vec<Rule>, udp: Vec<Rule>, listen: Vec<Rule>, lookup: Vec<Rule>) -> Self {
        Network {
            tcp: Rules::new(tcp),
            udp: Rules::new(udp),
            listen: Rules::new(listen),
            lookup: Rules::new(lookup),
            resolved: Mutex::default(),
        }
    }

    fn names(&self, address: IpAddr) -> Vec<String> {
        self.resolved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&address.to_canonical())
            .cloned()
            .unwrap_or_default()
    }

    pub fn remember(&self, name: &str, address: IpAddr) {
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if resolved.len() >= MAX_RESOLVED {
            resolved.clear();
        }
        let name = name.to_ascii_lowercase();
        let names = resolved.entry(address.to_canonical()).or_default();
        if !names.contains(&name) {
            names.truncate(MAX_NAMES - 1);
            names.insert(0, name);
        }
    }

    pub fn allows_lookup(&self, name: &str) -> bool {
        let lists = [&self.lookup, &self.tcp, &self.udp];
        lists.iter().any(|rules| rules.allow_name(name, None))
    }

    fn allows(&self, rules: &Rules, address: SocketAddr) -> bool {
        rules.allow_literal(address)
            || self
                .names(address.ip())
                .iter()
                .any(|name| rules.allow_named(name, address))
    }

    fn check(&self, address: SocketAddr, reason: SocketAddrUse) -> bool {
        // What the system chooses by itself for a socket that connects or sends.
        let unspecified = address.ip().is_unspecified() && address.port() == 0;
        match reason {
            SocketAddrUse::TcpConnect => self.allows(&self.tcp, address),
            SocketAddrUse::UdpSend => self.allows(&self.udp, address),
            SocketAddrUse::TcpBind => {
                self.listen.allow_bind(address) || (unspecified && !self.tcp.is_empty())
            }
            SocketAddrUse::UdpBind => {
                self.listen.allow_bind(address) || (unspecified && !self.udp.is_empty())
            }
            SocketAddrUse::TcpListen => self.listen.allow_bind(address),
            // Whoever comes to an address that the guest may listen at.
            _ => !self.listen.is_empty() || self.allows(&self.udp, address),
        }
    }

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
