//! Components: typed calls over the component model, on the same store cell and the same steps as
//! core modules.
//!
//! Arguments cross in two phases, so that no term outlives the NIF that brought it and the guest sees
//! nothing of a call whose arguments are wrong: terms become an [`image::Image`] in the guest's own
//! layout, which is then copied into the guest. Results come straight out of the guest's memory.
//! README.md in this folder tells more.

pub mod abi;
pub mod builder;
pub mod compiled;
pub mod decode;
pub mod describe;
pub mod flat;
pub mod handle;
pub mod hosted;
pub mod http;
pub mod image;
pub mod import;
pub mod instance;
pub mod lift;
pub mod linker;
pub mod lower;
pub mod names;
pub mod numbers;
pub mod problem;
pub mod resource;
pub mod shape;
pub mod shared;
pub mod state;
pub mod style;
pub mod task;
mod wave;
pub mod weight;
pub mod wit;
