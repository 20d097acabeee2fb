//! The types of a component, prepared once so that values can be converted by them.

pub mod builder;
pub mod describe;
pub mod flat;
pub mod names;
pub mod numbers;
pub mod record_keys;
pub mod scalar;
pub mod shape;
pub mod shared;
pub mod weight;
pub mod written;
