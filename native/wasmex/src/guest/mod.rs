//! Guests at work: the store and who may use it, calls and their slices, suspension in imports, waiting and waking.
//!
//! It may use `vm` and `wasi`. What runs in a store is a [`job::Task`], what attaches to it an
//! [`extension::Extension`]: this room knows none of them.

pub mod access;
pub mod call;
pub mod cell;
pub mod data;
pub mod drive;
pub mod execution;
pub mod extension;
pub mod funcref;
pub mod handoff;
pub mod hosts;
pub mod interrupt;
pub mod job;
pub mod memories;
pub mod reference;
pub mod signature;
pub mod stacks;
pub mod suspension;
pub mod ticker;
pub mod turns;
pub mod values;
pub mod waits;
