//! Long work in host functions, which know the guest's memory but not how the guest is polled.

use crate::vm::dirty;
use crate::vm::pause::pause;
use std::sync::OnceLock;

/// While it lives, the guest that called the host function is polled on dirty schedulers.
pub type Elsewhere = Box<dyn Send>;

type Begin = fn() -> Option<Elsewhere>;

static BEGIN: OnceLock<Begin> = OnceLock::new();

/// Registers what moves the guest of the current poll; called once, when the library is loaded.
pub fn register(begin: Begin) {
    let _ = BEGIN.set(begin);
}

/// Continues on a dirty scheduler, until the returned value is dropped.
pub async fn elsewhere() -> Option<Elsewhere> {
    let elsewhere = BEGIN.get().and_then(|begin| begin())?;
    if dirty::is_normal() {
        pause().await;
    }
    Some(elsewhere)
}
