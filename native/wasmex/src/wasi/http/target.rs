//! The target of a request: scheme, host and port of its URI.

use crate::wasi::digits::number;
use crate::wasi::rules::{Rules, normal};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use std::net::{IpAddr, SocketAddr};
use wasmtime_wasi_http::Error;

/// A server, as identified by the URI. Requests with the same target may share a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub tls: bool,
    pub host: Host,
    pub port: u16,
}

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// In lower case, without a trailing dot.
    Name(String),
    Address(IpAddr),
}

/// The form for DNS.
const MAX_NAME: usize = 253;

impl Target {
    /// An authority with user information is refused: its apparent host is misleading.
    pub fn of(uri: &Uri) -> Result<Self, Error> {
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(Error::HttpProtocolError),
        };
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        Ok(Target {
            tls,
            host: host(authority).ok_or(Error::HttpRequestUriInvalid)?,
            port: port(authority, tls).ok_or(Error::HttpRequestUriInvalid)?,
        })
    }

    /// Whether the host may be contacted, before a lookup.
    pub fn allowed(&self, rules: &Rules) -> bool {
        match &self.host {
            Host::Name(name) => rules.allow_name(name, Some(self.port)),
            Host::Address(address) => rules.allow_literal(SocketAddr::new(*address, self.port)),
        }
    }

    /// The form for TLS.
    pub fn name(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.to_string(),
        }
    }
}

fn host(authority: &Authority) -> Option<Host> {
    let host = authority.host();
    if authority.as_str().contains('@') || host.is_empty() {
        return None;
    }
    if let Some(v6) = host.strip_prefix('[') {
        let v6 = v6.strip_suffix(']')?.parse().ok()?;
        return Some(Host::Address(IpAddr::V6(v6)));
    }
    let name = normal(host);
    match name.parse() {
        Ok(v4) => Some(Host::Address(IpAddr::V4(v4))),
        Err(_) => is_name(&name).then_some(Host::Name(name)),
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(allowed)
}

fn port(authority: &Authority, tls: bool) -> Option<u16> {
    // After the host, including its brackets: a colon and a number, or nothing.
    match authority.as_str().strip_prefix(authority.host())? {
        "" | ":" => Some(if tls { 443 } else { 80 }),
        rest => {
            let port = number(rest.strip_prefix(':')?)?;
            (port > 0).then_some(port)
        }
    }
}

/// The `host` header for this target.
pub fn host_header(uri: &Uri) -> Result<HeaderValue, Error> {
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    HeaderValue::from_str(authority.as_str()).map_err(|_| Error::HttpRequestUriInvalid)
}
