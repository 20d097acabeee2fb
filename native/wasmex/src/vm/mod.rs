//! The interface to the Erlang VM: terms and environments, messages, threads, errors.
//!
//! The first layer: it uses no other, and any other may use it. Of guests it knows only wasmtime's errors.

pub mod atoms;
pub mod backtrace;
pub mod charge;
pub mod child;
#[cfg(feature = "compiler")]
pub mod compiling;
mod cpp_name;
pub mod demangle;
mod digest;
pub mod dirty;
pub mod env;
pub mod error;
pub mod fast_nif;
pub mod files;
pub mod frame;
pub mod heap_binary;
pub mod host_error;
pub mod janitor;
pub mod layout;
pub mod layouts;
pub mod live;
pub mod long;
pub mod machine;
pub mod mappings;
pub mod misuse;
pub mod names;
pub mod options;
pub mod owner;
pub mod panics;
pub mod pause;
pub mod pid;
pub mod pinned;
pub mod recycled;
pub mod resource;
pub mod resting;
pub mod runtime;
pub mod slots;
pub mod small_map;
pub mod term_box;
pub mod terms;
pub mod trim;
pub mod waker;
pub mod wakeup;
pub mod weight;
