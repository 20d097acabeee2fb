//! Limits the connections of all guests in the VM, so that no guest takes the last file descriptor.

use crate::vm::files;
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::Error;

/// This many, but at most a quarter of the files that the process may open.
const MAX_CONNECTIONS: usize = 1024;

static CONNECTIONS: OnceLock<Arc<Semaphore>> = OnceLock::new();

fn connections() -> &'static Arc<Semaphore> {
    CONNECTIONS.get_or_init(|| {
        let files = files::limit().unwrap_or(1024);
        Arc::new(Semaphore::new((files / 4).clamp(1, MAX_CONNECTIONS)))
    })
}

/// A slot for one connection, if one is free.
pub fn try_connection() -> Option<OwnedSemaphorePermit> {
    connections().clone().try_acquire_owned().ok()
}

/// Waits for a slot.
pub async fn connection() -> Result<OwnedSemaphorePermit, Error> {
    let place = connections().clone().acquire_owned().await;
    place.map_err(|_closed| Error::ConnectionLimitReached)
}
