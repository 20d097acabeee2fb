//! TLS clients for HTTP and sockets: verified by webpki, with the system's roots or custom ones.
//!
//! `rustls-native-certs` finds the system's; `SSL_CERT_FILE` and `SSL_CERT_DIR` override them.

use crate::wasi::http::error::from_tls;
use rustler::Binary;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wasmtime_wasi_http::Error;

/// The trusted roots of a client.
#[derive(Clone)]
pub enum Roots {
    System,
    /// Only these certificates.
    Own(Vec<CertificateDer<'static>>),
}

impl Roots {
    /// From DER; `None` for the system's.
    pub fn of(ders: Option<&[Binary]>) -> Self {
        let own = |der: &Binary| CertificateDer::from(der.as_slice().to_vec());
        match ders {
            None => Roots::System,
            Some(ders) => Roots::Own(ders.iter().map(own).collect()),
        }
    }
}

/// Makes the connections of one store. Sessions are resumed within the store only.
pub struct Connector {
    roots: Roots,
    alpn: Vec<Vec<u8>>,
    config: OnceLock<Arc<ClientConfig>>,
}

/// Sessions remembered by a connector.
const SESSIONS: usize = 16;

static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();

impl Connector {
    /// `alpn` lists the protocols to offer; empty omits the extension.
    pub fn new(roots: Roots, alpn: &[&str]) -> Self {
        Connector {
            roots,
            alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
            config: OnceLock::new(),
        }
    }

    /// The handshake; the server must prove to be `host`.
    pub async fn connect<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(host).ok_or(Error::HttpRequestUriInvalid)?;
        let connector = TlsConnector::from(self.config().await?);
        let connected = connector.connect(name, stream).await;
        connected.map_err(|error| from_tls(&error))
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let roots = match &self.roots {
            Roots::System => system().await?,
            Roots::Own(own) => store(own.iter().cloned())?,
        };
        let config = Arc::new(config(roots, self.alpn.clone())?);
        Ok(self.config.get_or_init(|| config).clone())
    }
}

fn config(roots: Arc<RootCertStore>, alpn: Vec<Vec<u8>>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::ConfigurationError)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    config.alpn_protocols = alpn;
    Ok(config)
}

/// Read once per VM, on a thread that may wait for the disk.
async fn system() -> Result<Arc<RootCertStore>, Error> {
    if let Some(roots) = SYSTEM.get() {
        return Ok(roots.clone());
    }
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let roots = store(
        found
            .map_err(|_| Error::ConfigurationError)?
            .certs
            .into_iter(),
    )?;
    Ok(SYSTEM.get_or_init(|| roots).clone())
}

/// Without any root a store would reject every server without saying why.
fn store(
    certificates: impl Iterator<Item = CertificateDer<'static>>,
) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(Error::ConfigurationError);
    }
    Ok(Arc::new(roots))
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    match host.parse::<IpAddr>() {
        Ok(address) => Some(ServerName::from(address)),
        Err(_) => ServerName::try_from(host.to_string()).ok(),
    }
}
