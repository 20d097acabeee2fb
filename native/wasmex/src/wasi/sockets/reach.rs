//! What preview 1 and components share: whom the guests of a store may reach, and how the host gets there.

use crate::wasi::errno::Fail;
use crate::wasi::http::tls::{Connector, Roots};
use crate::wasi::names::Names;
use crate::wasi::network::Network;
use crate::wasi::sockets::made;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Rules, names, and connections that the host makes.
#[derive(Clone)]
pub struct Reach {
    /// Whom the guests may reach.
    pub network: Arc<Network>,
    /// Looks names up.
    pub names: Names,
    /// How long connecting may take.
    pub timeout: Duration,
    /// Encrypts where the rules say so.
    tls: Arc<Connector>,
}

impl Reach {
    /// By the rules of this network. Servers that the host encrypts for are checked with these certificates.
    pub fn new(network: Network, roots: Roots, timeout: Duration) -> Self {
        let network = Arc::new(network);
        Reach {
            names: Names::new(network.clone(), timeout),
            network,
            timeout,
            tls: Arc::new(Connector::new(roots, &[])),
        }
    }

    /// The end of a connection that a process answers, or that the host encrypts.
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
    /// Nobody.
    fn default() -> Self {
        Reach::new(Network::default(), Roots::System, Duration::ZERO)
    }
}
