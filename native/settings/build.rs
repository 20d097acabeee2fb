//! Identifies the build by the versions of all crates and the settings.

use std::hash::{DefaultHasher, Hash, Hasher};

fn main() {
    let mut hasher = DefaultHasher::new();
    // Without a lock file only the version of the package is known.
    for path in ["../../Cargo.lock", "src/lib.rs"] {
        println!("cargo:rerun-if-changed={path}");
        std::fs::read(path).unwrap_or_default().hash(&mut hasher);
    }
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!(
        "cargo:rustc-env=WASMEX_BUILD={version}-{:016x}",
        hasher.finish()
    );
}
