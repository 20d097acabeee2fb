//! The senders of datagrams to guests that may receive from any address: a guest may reply to them, as on an accepted
//! connection.

use crate::wasi::address::{Class, canonical};
use std::collections::HashSet;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// Senders per generation. Two generations are kept, so at least this many may get replies.
const GENERATION: usize = 1024;

/// The most recent senders.
#[derive(Default)]
pub struct Senders(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    now: HashSet<SocketAddr>,
    before: HashSet<SocketAddr>,
}

impl Senders {
    /// Records the sender of a datagram, except for special addresses: a sender is easily forged.
    pub fn remember(&self, sender: SocketAddr) {
        let sender = canonical(sender);
        if matches!(
            Class::of(sender.ip()),
            Class::Metadata | Class::Unspecified | Class::Reserved
        ) {
            return;
        }
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.now.len() >= GENERATION && !generations.now.contains(&sender) {
            generations.before = mem::take(&mut generations.now);
        }
        generations.now.insert(sender);
    }

    /// Whether it is a recent sender.
    pub fn contains(&self, address: SocketAddr) -> bool {
        let address = canonical(address);
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.now.contains(&address) || generations.before.contains(&address)
    }
}
