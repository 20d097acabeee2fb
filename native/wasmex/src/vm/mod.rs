//! What speaks to the Erlang VM: terms, environments, messages, threads and errors.
//!
//! It may use no other room. Everything else may use it.

pub mod atoms;
pub mod backtrace;
pub mod compiling;
mod cpp_name;
pub mod demangle;
pub mod env;
pub mod error;
pub mod fast_nif;
pub mod live;
pub mod options;
pub mod runtime;
pub mod slots;
pub mod term_box;
pub mod terms;
pub mod waker;
pub mod wakeup;
