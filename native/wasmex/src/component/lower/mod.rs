//! Values on their way to a guest: terms become an [`image::Image`], which is then copied into its memory.

pub mod decode;
pub mod image;
pub mod place;
