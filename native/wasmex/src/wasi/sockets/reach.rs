//! Shared by preview 1 and components: the addresses that a store's guests may reach, and connections made by the host.

use crate::wasi::errno::Fail;
use crate::wasi::http::tls::{Connector, Roots};
use crate::wasi::names::Names;
use crate::wasi::network::Network;
use crate::wasi::sockets::made;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Rules, name lookup, and connections made by the host.
#[derive(Clone)]
pub struct Reach {
    /// The addresses that guests may reach.
    pub network: Arc<Network>,
    /// Looks up names.
    pub names: Names,
    /// The timeout of connecting.
    pub timeout: Duration,
    /// Adds TLS where the rules say so.
    tls: Arc<Connector>,
}

impl Reach {
    /// With the rules of this network. These certificates are trusted for TLS added by the host.
    pub fn new(network: Network, roots: Roots, timeout: Duration) -> Self {
        let network = Arc::new(network);
        Reach {
            names: Names::new(network.clone(), timeout),
            network,
            timeout,
            tls: Arc::new(Connector::new(roots, &[])),
        }
    }

    /// Without any rules. Shared by all stores: they learn no addresses.
    pub fn nothing() -> Self {
        static NOTHING: OnceLock<Reach> = OnceLock::new();
        let new = || Reach::new(Network::default(), Roots::System, Duration::ZERO);
        NOTHING.get_or_init(new).clone()
    }

    /// The end of a connection that an Elixir process handles, or to which the host adds TLS.
    pub fn elsewhere(&self, to: SocketAddr) -> Result<Option<made::Ends>, Fail> {
        if let Some(answer) = self.network.answer(to) {
            return made::to_elixir(answer, to).map(Some);
        }
        match self.network.tls_host(to) {
            Some(host) => made::with_tls(self.tls.clone(), host, to, self.timeout).map(Some),
            None => Ok(None),
        }
    }
}

impl Default for Reach {
    /// No addresses.
    fn default() -> Self {
        Reach::nothing()
    }
}
