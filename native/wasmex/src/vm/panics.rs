//! Panics of parsers, which untrusted bytes can cause, are errors to the caller and nothing to the terminal.

use std::panic;
use std::thread;

/// The name of threads whose panics are not printed: their messages may quote the bytes, and each has a backtrace.
pub const PARSER: &str = "wasmex-parse";

/// Prints panics of all other threads as before.
pub fn quieten_parsers() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().name() != Some(PARSER) {
            print(info);
        }
    }));
}
