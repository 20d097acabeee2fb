//! Idle connections of one store, kept for reuse.

use crate::wasi::http::connection::Connection;
use crate::wasi::http::target::Target;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of idle connections of a store.
const MAX_IDLE: usize = 8;

/// How long each is kept. Few servers wait more than a few times longer.
const IDLE: Duration = Duration::from_secs(10);

/// The idle connections of a store.
#[derive(Default)]
pub struct Pool(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    /// The oldest first.
    connections: Vec<(Instant, Connection)>,
    /// Whether a task closes expired ones.
    swept: bool,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most recently used connection.
    pub fn take(&self, target: &Target) -> Option<Connection> {
        let mut idle = self.lock();
        idle.connections
            .retain(|(_since, connection)| connection.is_ready());
        let at = idle
            .connections
            .iter()
            .rposition(|(_since, connection)| connection.target == *target)?;
        Some(idle.connections.remove(at).1)
    }

    /// Keeps a connection for reuse.
    pub fn put(self: &Arc<Self>, connection: Connection) {
        let mut idle = self.lock();
        if idle.connections.len() >= MAX_IDLE {
            idle.connections.remove(0);
        }
        idle.connections.push((Instant::now(), connection));
        if !std::mem::replace(&mut idle.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes all of them.
    pub fn clear(&self) {
        let closed = std::mem::take(&mut self.lock().connections);
        drop(closed);
    }

    /// When the next one expires; `None` if none is left, which ends the task.
    fn close_old(&self) -> Option<Instant> {
        let mut idle = self.lock();
        let now = Instant::now();
        idle.connections
            .retain(|(since, connection)| *since + IDLE > now && connection.is_ready());
        let next = idle.connections.first().map(|(since, _)| *since + IDLE);
        idle.swept = next.is_some();
        next
    }
}

async fn sweep(pool: Weak<Pool>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.close_old()) {
        tokio::time::sleep_until(next).await;
    }
}
