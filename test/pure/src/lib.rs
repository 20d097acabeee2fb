//! The native library's pure parts, compiled from where they are.

#[cfg(not(loom))]
#[path = "../../../native/wasmex/src/budget.rs"]
pub mod budget;
#[cfg(not(loom))]
#[path = "../../../native/wasmex/src/byte_queue.rs"]
pub mod byte_queue;
#[path = "../../../native/wasmex/src/wakeup.rs"]
pub mod wakeup;
