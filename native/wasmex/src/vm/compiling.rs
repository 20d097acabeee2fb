//! The threads that compile, as many as there are cores.
//!
//! A pool of our own: rayon's global one panics where the system gives no thread, and stays that way.

use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Mutex, OnceLock, PoisonError};

static POOL: OnceLock<ThreadPool> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// Does the work on those threads, while this one waits.
pub fn compile<T: Send>(work: impl FnOnce() -> wasmtime::Result<T> + Send) -> Result<T> {
    pool()?
        .install(work)
        .map_err(|error| Error::chain(atoms::compile(), &error))
}

fn pool() -> Result<&'static ThreadPool> {
    if let Some(pool) = POOL.get() {
        return Ok(pool);
    }
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if POOL.get().is_none() {
        let builder = ThreadPoolBuilder::new().thread_name(|n| format!("wasmex-compile-{n}"));
        let pool = builder.build().map_err(|error| {
            let text = format!("the system gives no threads for compiling: {error}");
            Error::text(atoms::no_threads(), text)
        })?;
        let _ = POOL.set(pool);
    }
    POOL.get()
        .ok_or_else(|| Error::text(atoms::no_threads(), "no threads for compiling"))
}
