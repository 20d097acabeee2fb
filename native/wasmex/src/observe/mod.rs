//! Observing guests: traces, profiles, core dumps and inspection of wasm files.
//!
//! It may use `vm`, `wasi`, `guest` and `core`.

pub mod core_dump;
mod firefox;
mod inspect;
pub mod profiler;
pub mod trace;
pub mod wasi_trace;
