//! The native library's pure parts, compiled from where they are.

#[cfg(not(loom))]
#[path = "../../../native/wasmex/src/plugin/blocks.rs"]
pub mod blocks;
#[cfg(not(loom))]
#[path = "../../../native/wasmex/src/wasi/budget.rs"]
pub mod budget;
#[cfg(not(loom))]
#[path = "../../../native/wasmex/src/wasi/pipe/byte_queue.rs"]
pub mod byte_queue;
#[cfg(not(loom))]
#[path = "../../../native/wasmex/src/wasi/pattern.rs"]
pub mod pattern;
#[cfg(not(loom))]
#[path = "../../../native/wasmex/src/vm/recycled.rs"]
pub mod recycled;
#[cfg(not(loom))]
#[path = "../../../native/wasmex/src/vm/slots.rs"]
pub mod slots;
#[cfg(not(loom))]
#[path = "../../../native/wasmex/src/plugin/vars.rs"]
pub mod vars;
#[path = "../../../native/wasmex/src/vm/wakeup.rs"]
pub mod wakeup;
