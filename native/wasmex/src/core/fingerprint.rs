//! The fingerprint of an engine: differs whenever artefacts of one engine do not fit another.
//!
//! Not wasmtime's own hash, which only a library with a compiler has: one without must recognise the artefacts of the
//! others. wasmtime also checks every artefact that it loads.

use std::env::consts::{ARCH, OS};
use std::hash::{DefaultHasher, Hash, Hasher};
use wasmex_settings::{BUILD, Settings};

/// Of the settings, the build and the processor. The limits of the scan do not affect artefacts.
pub fn of(settings: &Settings) -> u64 {
    let settings = Settings {
        limits: vec![],
        ..settings.clone()
    };
    let mut hasher = DefaultHasher::new();
    (BUILD, ARCH, OS, settings.to_bytes(), processor()).hash(&mut hasher);
    hasher.finish()
}

macro_rules! features {
    ($detected:ident: $($name:tt)*) => {
        vec![$(std::arch::$detected!($name)),*]
    };
}

/// The features of the processor that Cranelift makes use of, as in cranelift-native.
#[cfg(target_arch = "x86_64")]
fn processor() -> Vec<bool> {
    features!(is_x86_feature_detected:
        "cmpxchg16b" "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt"
        "avx512bitalg" "avx512dq" "avx512f" "avx512vl" "avx512vbmi")
}

/// The same for 64-bit ARM.
#[cfg(target_arch = "aarch64")]
fn processor() -> Vec<bool> {
    features!(is_aarch64_feature_detected: "lse" "paca" "fp16")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn processor() -> Vec<bool> {
    vec![]
}
