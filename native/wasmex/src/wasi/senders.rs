//! Who has sent a datagram to a guest that may receive from anybody: it may answer them, as it may on a connection that it accepted.

use crate::wasi::address::{Class, canonical};
use std::collections::HashSet;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// Senders of one generation. Two are kept, so that at least so many can be answered.
const GENERATION: usize = 1024;

/// The last senders.
#[derive(Default)]
pub struct Senders(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    now: HashSet<SocketAddr>,
    before: HashSet<SocketAddr>,
}

impl Senders {
    /// This address has sent a datagram. What nobody answers is not remembered: a sender is easily forged.
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

    /// Whether it was one of the last.
    pub fn contains(&self, address: SocketAddr) -> bool {
        let address = canonical(address);
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.now.contains(&address) || generations.before.contains(&address)
    }
}
