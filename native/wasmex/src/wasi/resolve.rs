//! Name lookup on separate threads: the system's resolver may take half a minute, and file calls must not wait for it.

use crate::wasi::rules::{is_localhost, normal};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Concurrent lookups in the VM; further ones wait.
const VM_LOOKUPS: usize = 16;

/// Concurrent lookups of one store.
const STORE_LOOKUPS: usize = 4;

/// Maximum number of addresses used for a name.
const MAX_ADDRESSES: usize = 16;

static VM: OnceLock<Arc<Semaphore>> = OnceLock::new();

/// The lookups of one store.
#[derive(Clone)]
pub struct Resolver(Arc<Semaphore>);

impl Default for Resolver {
    fn default() -> Self {
        Resolver(Arc::new(Semaphore::new(STORE_LOOKUPS)))
    }
}

impl Resolver {
    /// The addresses of a name. Dropping the future does not cancel the lookup, which keeps its slot until it ends.
    pub async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = normal(name);
        if is_localhost(&name) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let places = [place(&self.0).await?, place(vm()).await?];
        let (sender, receiver) = oneshot::channel();
        std::thread::Builder::new()
            .name("wasmex-dns".into())
            .stack_size(1 << 20)
            .spawn(move || {
                let found = system(&name);
                drop(places);
                let _ = sender.send(found);
            })?;
        receiver.await.map_err(io::Error::other)?
    }
}

fn vm() -> &'static Arc<Semaphore> {
    VM.get_or_init(|| Arc::new(Semaphore::new(VM_LOOKUPS)))
}

async fn place(places: &Arc<Semaphore>) -> io::Result<OwnedSemaphorePermit> {
    let place = places.clone().acquire_owned().await;
    place.map_err(io::Error::other)
}

fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    let found = (name, 0).to_socket_addrs()?;
    Ok(found
        .map(|address| address.ip())
        .take(MAX_ADDRESSES)
        .collect())
}
