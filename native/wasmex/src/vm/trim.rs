//! Returns memory to the system after many stores were freed: the allocator keeps it, in small pieces between others.

use crate::vm::runtime;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// Live stores, and the most since the last trim.
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);
/// Whether one is planned.
static PLANNED: AtomicBool = AtomicBool::new(false);

/// Fewer are not worth it: a store with an instance is some 10 KiB.
const MANY: i64 = 2_000;

/// Stores are often freed and made in turns, so it waits until their number has stayed low for this long.
const QUIET: Duration = Duration::from_secs(1);

/// A store was made.
pub fn made() {
    let live = LIVE.fetch_add(1, Ordering::Relaxed) + 1;
    if live > PEAK.load(Ordering::Relaxed) {
        PEAK.fetch_max(live, Ordering::Relaxed);
    }
}

/// A store was freed.
pub fn freed() {
    let live = LIVE.fetch_sub(1, Ordering::Relaxed) - 1;
    if is_due(live) && !PLANNED.swap(true, Ordering::Relaxed) {
        plan();
    }
}

/// Whether many were freed, and at least half.
fn is_due(live: i64) -> bool {
    let peak = PEAK.load(Ordering::Relaxed);
    peak - live >= MANY && live <= peak / 2
}

fn plan() {
    let Some(runtime) = runtime::get() else {
        PLANNED.store(false, Ordering::Relaxed);
        return;
    };
    runtime.spawn(async {
        loop {
            let before = LIVE.load(Ordering::Relaxed);
            tokio::time::sleep(QUIET).await;
            let live = LIVE.load(Ordering::Relaxed);
            if live < before && is_due(live) {
                continue;
            }
            PLANNED.store(false, Ordering::Relaxed);
            if is_due(live) {
                PEAK.store(live, Ordering::Relaxed);
                let _ = tokio::task::spawn_blocking(trim).await;
            }
            return;
        }
    });
}

/// Takes some milliseconds, in which threads that allocate may have to wait for a part of the heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    // SAFETY: may be called at any time, from any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
