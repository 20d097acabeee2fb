//! Name lookup for guests, the same for preview 1 and components: it checks the rules, limits the number of lookups and
//! their duration, and remembers the addresses.

use crate::wasi::network::Network;
use crate::wasi::resolve::Resolver;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::Host;

/// Looks up names for the guests of a store.
#[derive(Clone)]
pub struct Names {
    network: Arc<Network>,
    resolver: Resolver,
    timeout: Duration,
}

/// Why a lookup failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is not a name.
    Invalid,
    /// No rule allows it.
    Refused,
    /// It has no address.
    Unknown,
    /// The resolver took too long.
    Timeout,
}

impl Names {
    /// With the rules of this network, and this timeout.
    pub fn new(network: Arc<Network>, timeout: Duration) -> Self {
        Names {
            network,
            resolver: Resolver::default(),
            timeout,
        }
    }

    /// The addresses of a name, at least one. An IPv4-mapped IPv6 address becomes that IPv4 address.
    pub fn find(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Vec<IpAddr>, Missing>> + Send + 'static {
        let names = self.clone();
        let host = parse(name);
        async move {
            match host? {
                Host::Ipv4(address) => Ok(vec![address.into()]),
                Host::Ipv6(address) => Ok(vec![IpAddr::from(address).to_canonical()]),
                Host::Domain(name) => names.lookup(&name).await,
            }
        }
    }

    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Missing> {
        if let Some(address) = self.network.stand_in(name) {
            return Ok(vec![address]);
        }
        if !self.network.allows_lookup(name) {
            return Err(Missing::Refused);
        }
        let found = tokio::time::timeout(self.timeout, self.resolver.lookup(name)).await;
        let found = found
            .map_err(|_elapsed| Missing::Timeout)?
            .map_err(|_| Missing::Unknown)?;
        let found = found.iter().map(IpAddr::to_canonical);
        let found: Vec<_> = found.filter(|ip| ip.is_ipv4() || has_ipv6()).collect();
        for address in &found {
            self.network.remember(name, *address);
        }
        match found.is_empty() {
            true => Err(Missing::Unknown),
            false => Ok(found),
        }
    }
}

/// An address, or a name in ASCII (UTS #46).
fn parse(name: &str) -> Result<Host, Missing> {
    if let Ok(address) = name.parse::<Ipv6Addr>() {
        return Ok(Host::Ipv6(address));
    }
    Host::parse(name).map_err(|_| Missing::Invalid)
}

/// Whether this machine has IPv6 at all; otherwise its addresses are useless.
fn has_ipv6() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok())
}
