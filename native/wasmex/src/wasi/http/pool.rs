//! The connections of one store that wait for another request.

use crate::wasi::http::connection::Connection;
use crate::wasi::http::target::Target;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Connections that wait, of one store.
const MAX_IDLE: usize = 8;

/// How long each waits. Servers seldom wait longer than a few times this.
const IDLE: Duration = Duration::from_secs(10);

/// The idle connections of a store.
#[derive(Default)]
pub struct Pool(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    /// The oldest first.
    connections: Vec<(Instant, Connection)>,
    /// A task looks after them.
    swept: bool,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last.
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

    /// Keeps a connection for another request.
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

    /// When the next has waited long enough; `None`, and nobody looks any more, when none is left.
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
