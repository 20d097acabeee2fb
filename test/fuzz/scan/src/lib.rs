//! What the fuzz targets share: the native library's own files, compiled from where they are.

use std::thread;

/// Names of functions in texts.
#[path = "../../../../native/wasmex/src/vm"]
pub mod vm {
    pub mod cpp_name;
    pub mod demangle;
}

/// Where a guest may connect.
#[path = "../../../../native/wasmex/src/wasi"]
pub mod wasi {
    pub mod address;
}

/// Patterns of hosts.
#[path = "../../../../native/wasmex/src/wasi/pattern.rs"]
pub mod pattern;

/// As `on_deep_stack` in native/wasmex/src/core/door.rs has it.
const STACK: usize = 64 * 1024 * 1024;

/// Runs what may recurse as the library does; a panic there is caught, an overflow is not.
pub fn on_deep_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::Builder::new().stack_size(STACK).spawn(work);
    thread.expect("a thread").join().expect("no panic")
}
