//! Network access of a store's guests: the addresses and names they may reach, from the lists made by Elixir.

use crate::vm::options::Options;
use crate::vm::resource::ResourceArc;
use crate::wasi::places::{Listen, Paths, Place, Places};
use crate::wasi::rules::{Rule, Rules, normal};
use crate::wasi::senders::Senders;
use crate::wasi::sockets::answer::AnswerResource;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::Result;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

/// The lists of a store.
#[derive(Default)]
pub struct Network {
    tcp: Rules,
    udp: Rules,
    bind_tcp: Rules,
    bind_udp: Rules,
    /// Names that may be looked up in addition to those in `tcp` and `udp`.
    lookup: Rules,
    /// Paths of unix sockets.
    unix: Paths,
    bind_unix: Paths,
    /// Where the host adds TLS.
    tls: Rules,
    /// Connections handled by Elixir processes.
    answers: Vec<(Rules, ResourceArc<AnswerResource>)>,
    /// Names without addresses, handled by Elixir processes: each gets a placeholder address, by index.
    stand_ins: Mutex<Vec<String>>,
    /// The names whose lookup returned an address.
    resolved: Mutex<HashMap<IpAddr, Vec<String>>>,
    /// The senders that may get a reply.
    senders: Senders,
}

/// A guest may look up names endlessly, so memory is limited: this many addresses, this many names for each.
const MAX_RESOLVED: usize = 1024;
const MAX_NAMES: usize = 16;

/// Below the placeholder addresses.
const STAND_INS: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 0);

impl Network {
    /// From the options `tcp`, `udp`, `dial`, `bind`, `listen`, `lookup` and `dns`.
    pub fn new(options: &Options) -> Result<Self> {
        let mut tcp: Vec<Rule> = options.get_or_default("tcp")?;
        let mut udp: Vec<Rule> = options.get_or_default("udp")?;
        let mut lookup: Vec<Rule> = options.get_or_default("lookup")?;
        lookup.extend(options.get_or_default::<Vec<Rule>>("dns")?);
        let dial = Places::new(options.get_or_default("dial")?);
        tcp.extend(dial.tcp);
        udp.extend(dial.udp);
        let listen: Vec<Listen> = options.get_or_default("listen")?;
        let listen = listen.into_iter().filter_map(Listen::place);
        let mut bind: Vec<Place> = options.get_or_default("bind")?;
        bind.extend(listen);
        let bind = Places::new(bind);
        Ok(Network {
            tcp: Rules::new(tcp),
            udp: Rules::new(udp),
            bind_tcp: Rules::new(bind.tcp),
            bind_udp: Rules::new(bind.udp),
            lookup: Rules::new(lookup),
            unix: dial.unix,
            bind_unix: bind.unix,
            tls: Rules::new(dial.tls),
            answers: dial.answers,
            stand_ins: Mutex::default(),
            resolved: Mutex::default(),
            senders: Senders::default(),
        })
    }

    /// Whether nothing can be reached, bound or looked up.
    pub fn is_empty(&self) -> bool {
        !self.any_tcp() && !self.any_udp() && !self.any_unix() && self.lookup.is_empty()
    }

    /// Whether TCP can be used at all.
    pub fn any_tcp(&self) -> bool {
        !self.tcp.is_empty()
            || !self.bind_tcp.is_empty()
            || !self.tls.is_empty()
            || !self.answers.is_empty()
    }

    /// Whether UDP can be used at all.
    pub fn any_udp(&self) -> bool {
        !self.udp.is_empty() || !self.bind_udp.is_empty()
    }

    /// Whether unix sockets can be used at all.
    pub fn any_unix(&self) -> bool {
        !self.unix.is_empty() || !self.bind_unix.is_empty()
    }

    /// Whether a unix socket may be connected to.
    pub fn allows_unix_dial(&self, path: &Path) -> bool {
        self.unix.allow(path)
    }

    /// Whether a unix socket may be bound to this path.
    pub fn allows_unix_bind(&self, path: &Path) -> bool {
        self.bind_unix.allow(path)
    }

    /// The process that handles connections to an address.
    pub fn answer(&self, address: SocketAddr) -> Option<&AnswerResource> {
        let names = self.names(address.ip());
        let mut answers = self.answers.iter();
        let port = Some(address.port());
        let found = answers.find(|(rules, _)| {
            rules.allow_literal(address) || names.iter().any(|name| rules.allow_name(name, port))
        });
        found.map(|(_, process)| &**process)
    }

    /// The name that the server at an address must prove by certificate, if the host adds TLS.
    pub fn tls_host(&self, address: SocketAddr) -> Option<String> {
        let names = self.names(address.ip()).into_iter();
        let mut names = names.filter(|name| self.tls.allow_named(name, address));
        let literal = || self.tls.allow_literal(address);
        let named = names.next();
        named.or_else(|| literal().then(|| address.ip().to_canonical().to_string()))
    }

    /// A placeholder address for a name handled by a process: class E, which is reserved (RFC 1112).
    pub fn stand_in(&self, name: &str) -> Option<IpAddr> {
        let mut answers = self.answers.iter();
        if !answers.any(|(rules, _)| rules.allow_name(name, None)) {
            return None;
        }
        let name = normal(name);
        let mut names = self
            .stand_ins
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().position(|known| *known == name);
        let index = match known {
            Some(index) => index,
            None if names.len() >= MAX_RESOLVED => return None,
            None => {
                names.push(name);
                names.len() - 1
            }
        };
        let index = u32::try_from(index).ok()?;
        Some(Ipv4Addr::from_bits(STAND_INS.to_bits() + 1 + index).into())
    }

    fn stood_in(&self, address: IpAddr) -> Option<String> {
        let IpAddr::V4(address) = address else {
            return None;
        };
        let index = address.to_bits().checked_sub(STAND_INS.to_bits() + 1)?;
        let names = self
            .stand_ins
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        names.get(usize::try_from(index).ok()?).cloned()
    }

    fn names(&self, address: IpAddr) -> Vec<String> {
        if let Some(name) = self.stood_in(address) {
            return vec![name];
        }
        self.resolved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&address.to_canonical())
            .cloned()
            .unwrap_or_default()
    }

    /// Records that a lookup of the name returned this address.
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

    /// Whether a name may be looked up.
    pub fn allows_lookup(&self, name: &str) -> bool {
        let lists = [&self.lookup, &self.tcp, &self.udp, &self.tls];
        lists.iter().any(|rules| rules.allow_name(name, None))
    }

    fn allows(&self, rules: &Rules, address: SocketAddr) -> bool {
        rules.allow_literal(address)
            || self
                .names(address.ip())
                .iter()
                .any(|name| rules.allow_named(name, address))
    }

    /// Whether an address may be used this way.
    pub fn check(&self, address: SocketAddr, reason: SocketAddrUse) -> bool {
        // Chosen by the system for a socket that connects or sends.
        let unspecified = address.ip().is_unspecified() && address.port() == 0;
        match reason {
            SocketAddrUse::TcpConnect => self.allows(&self.tcp, address),
            SocketAddrUse::UdpSend => {
                self.allows(&self.udp, address) || self.senders.contains(address)
            }
            SocketAddrUse::TcpBind => {
                self.bind_tcp.allow_bind(address) || (unspecified && !self.tcp.is_empty())
            }
            SocketAddrUse::UdpBind => {
                self.bind_udp.allow_bind(address) || (unspecified && !self.udp.is_empty())
            }
            // With a rule for port 0, the system has chosen the port: another one could not have been bound.
            SocketAddrUse::TcpListen => {
                let any_port = SocketAddr::new(address.ip(), 0);
                self.bind_tcp.allow_bind(address) || self.bind_tcp.allow_bind(any_port)
            }
            // Incoming connections at an address where the guest may listen.
            SocketAddrUse::TcpAccept => !self.bind_tcp.is_empty(),
            SocketAddrUse::UdpReceive if self.bind_udp.is_empty() => {
                self.allows(&self.udp, address)
            }
            SocketAddrUse::UdpReceive => {
                self.senders.remember(address);
                true
            }
        }
    }

    /// Passes the rules to wasmtime, for components.
    pub fn apply(self: &Arc<Self>, builder: &mut WasiCtxBuilder) {
        builder.allow_tcp(self.any_tcp());
        builder.allow_udp(self.any_udp());
        let network = self.clone();
        builder.socket_addr_check(move |address, reason| {
            let allowed = network.check(address, reason);
            Box::pin(async move { allowed })
        });
    }
}
