//! Connecting to servers: looks the name up, checks each address, and keeps the first connection.

use crate::wasi::http::error;
use crate::wasi::http::target::{Host, Target};
use crate::wasi::resolve::Resolver;
use crate::wasi::rules::Rules;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use wasmtime_wasi_http::Error;

/// Time before the next address is tried in parallel (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// The target's addresses that the rules allow. The name is not looked up again, so the checked addresses are the ones
/// connected to.
pub async fn addresses(
    target: &Target,
    rules: &Rules,
    resolver: &Resolver,
) -> Result<Vec<SocketAddr>, Error> {
    if !target.allowed(rules) {
        return Err(Error::HttpRequestDenied);
    }
    let name = match &target.host {
        Host::Address(address) => return Ok(vec![SocketAddr::new(*address, target.port)]),
        Host::Name(name) => name,
    };
    let found = resolver.lookup(name).await.map_err(|_| error::dns())?;
    if found.is_empty() {
        return Err(error::dns());
    }
    let allowed: Vec<_> = found
        .into_iter()
        .map(|address| SocketAddr::new(address, target.port))
        .filter(|address| rules.allow_named(name, *address))
        .collect();
    if allowed.is_empty() {
        return Err(Error::DestinationIpProhibited);
    }
    Ok(allowed)
}

/// Tries the addresses one after the other, without cancelling the earlier attempts; the first success drops the
/// others.
pub async fn dial(addresses: Vec<SocketAddr>) -> Result<TcpStream, Error> {
    let mut attempts = JoinSet::new();
    let mut failed = Error::DestinationUnavailable;
    let mut left = addresses.into_iter();
    loop {
        let next = left.next();
        let last = next.is_none();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(address));
        }
        let joined = if last {
            attempts.join_next().await
        } else {
            match tokio::time::timeout(STAGGER, attempts.join_next()).await {
                Ok(joined) => joined,
                Err(_elapsed) => continue,
            }
        };
        match joined {
            Some(Ok(Ok(stream))) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Some(Ok(Err(error))) => failed = error::from_connect(&error),
            Some(Err(_)) => {}
            None if last => return Err(failed),
            None => {}
        }
    }
}
