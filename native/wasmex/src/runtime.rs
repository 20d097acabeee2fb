//! The tokio runtime behind WASI: an I/O reactor with its timers, and a pool for blocking file calls.
//!
//! Guests never run on it. Its workers only wake the processes that drive the guests.

use std::sync::OnceLock;
use tokio::runtime::{Builder, Runtime};

/// File calls that may be under way at once; more of them queue.
const BLOCKING_THREADS: usize = 16;

static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();

/// `None` when the operating system gives no thread for it.
pub fn get() -> Option<&'static Runtime> {
    RUNTIME
        .get_or_init(|| {
            Builder::new_multi_thread()
                .worker_threads(1)
                .max_blocking_threads(BLOCKING_THREADS)
                .thread_name("wasmex-io")
                .enable_all()
                .build()
                .ok()
        })
        .as_ref()
}
