//! A thread that frees what takes too long for a scheduler, such as a gigabyte of memory.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

type Large = Box<dyn Send>;

/// `None` until something large must be freed.
static QUEUE: Mutex<Option<Sender<Large>>> = Mutex::new(None);

/// Drops a value on the thread, or here if the system refuses a thread.
pub fn drop_elsewhere(large: impl Send + 'static) {
    let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
    if queue.is_none() {
        *queue = start();
    }
    let unsent = match queue.as_ref() {
        Some(sender) => sender.send(Box::new(large)).err().map(|unsent| unsent.0),
        None => Some(Box::new(large) as Large),
    };
    drop(queue);
    drop(unsent);
}

fn start() -> Option<Sender<Large>> {
    let (sender, receiver) = channel::<Large>();
    let thread = std::thread::Builder::new().name("wasmex-janitor".into());
    thread
        .spawn(move || receiver.into_iter().for_each(drop))
        .ok()?;
    Some(sender)
}
