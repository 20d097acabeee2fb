//! The tokio runtime for WASI: an I/O reactor with timers, and a thread pool for blocking file calls.
//!
//! Guests never run on it. Its workers only wake the processes that drive guests.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::catch_unwind;
use std::pin::pin;
use std::sync::{Mutex, OnceLock, PoisonError};
use tokio::runtime::{Builder, Runtime};

/// Maximum concurrent file calls; more of them queue.
const BLOCKING_THREADS: usize = 16;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// `None` while the operating system refuses a thread; each use tries again.
pub fn get() -> Option<&'static Runtime> {
    RUNTIME.get().or_else(start)
}

#[cold]
fn start() -> Option<&'static Runtime> {
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if RUNTIME.get().is_none() {
        // tokio panics if it gets no thread, so one is tried first, and remaining panics are caught.
        std::thread::Builder::new().spawn(|| {}).ok()?.join().ok()?;
        let runtime = catch_unwind(build).ok()?.ok()?;
        RUNTIME.set(runtime).ok()?;
    }
    RUNTIME.get()
}

thread_local! {
    static ATTACHED: Cell<bool> = const { Cell::new(false) };
}

/// Gives this thread tokio's context, and leaves it there: entering it for each poll would take longer than a short call
/// of a guest.
pub fn attach() {
    if !ATTACHED.get()
        && let Some(runtime) = get()
    {
        std::mem::forget(runtime.enter());
        ATTACHED.set(true);
    }
}

/// Runs a future with tokio's context; `None` if there is no runtime.
pub async fn within<F: Future>(future: F) -> Option<F::Output> {
    let runtime = get()?;
    let mut future = pin!(future);
    let output = poll_fn(|context| {
        let _reach = runtime.enter();
        future.as_mut().poll(context)
    });
    Some(output.await)
}

fn build() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("wasmex-io")
        .enable_all()
        .build()
}
