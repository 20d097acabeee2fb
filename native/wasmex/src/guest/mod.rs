//! Running guests: stores and access to them, calls and slices, suspension in imports, waiting and waking.
//!
//! It may use `vm` and `wasi`. It knows neither the tasks that run in a store ([`job::Task`]) nor the extensions
//! attached to it ([`extension::Extension`]).

pub mod access;
pub mod away;
pub mod call;
pub mod cell;
pub mod data;
pub mod drive;
pub mod execution;
pub mod extension;
pub mod foreign;
pub mod funcref;
pub mod handoff;
pub mod held;
pub mod host_term;
pub mod hosts;
pub mod interrupt;
pub mod job;
pub mod long_polls;
pub mod memories;
pub mod reference;
pub mod signature;
pub mod slice;
pub mod stacks;
pub mod suspension;
pub mod ticker;
pub mod turns;
pub mod values;
pub mod via;
pub mod waits;
