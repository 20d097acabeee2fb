//! Lowering: terms become an [`image::Image`], which is then copied into the guest's memory.

pub mod decode;
pub mod image;
pub mod place;
