//! Resources both ways; without any import of WASI.

mod counters;
mod user;

wit_bindgen::generate!({ world: "resources" });

struct Resources;

export!(Resources);
