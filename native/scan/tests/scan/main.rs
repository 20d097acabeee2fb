//! Inputs that pass the scan, and inputs that do not.

mod blocks;
mod bytes;
mod components;
mod files;
mod functions;
mod modules;
mod texts;
