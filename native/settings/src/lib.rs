//! The engine settings that affect compiled code.
//!
//! An artefact fits an engine only if both have the same settings. The library and its compiler process therefore share
//! this crate; settings that only matter at run time stay in the library.

use serde::{Deserialize, Serialize};
#[cfg(feature = "compiler")]
use wasmtime::OptLevel;
use wasmtime::{Config, Result, WasmBacktraceDetails};

/// How hard the compiler tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Optimize {
    None,
    Speed,
    SpeedAndSize,
}

/// How linear memories are placed in the address space, which decides where compiled code checks bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memories {
    /// wasmtime's default: reserved, with guard pages.
    Reserved,
    /// No reservations and no guard pages.
    Dense,
    /// Each in a pool slot of this many bytes.
    Pooled(u64),
}

/// The proposals that modules may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposals {
    pub memory64: bool,
    pub component_model: bool,
    pub tail_call: bool,
    pub simd: bool,
    pub relaxed_simd: bool,
    pub multi_memory: bool,
    pub multi_value: bool,
    pub bulk_memory: bool,
    pub reference_types: bool,
    pub function_references: bool,
    pub gc: bool,
    pub exceptions: bool,
    pub threads: bool,
    pub extended_const: bool,
    pub wide_arithmetic: bool,
    pub custom_page_sizes: bool,
}

/// Everything an artefact depends on besides the versions of wasmtime and of this crate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub optimize: Optimize,
    pub memories: Memories,
    pub proposals: Proposals,
    pub fuel: bool,
    pub backtrace_details: bool,
    pub debug_info: bool,
    pub nan_canonicalization: bool,
    /// The limits for code, in the order of `scan::Limit::ALL`. Artefacts do not depend on them.
    pub limits: Vec<u64>,
}

impl Settings {
    /// Whether the debug information of modules is read.
    pub fn reads_debug(&self) -> bool {
        self.backtrace_details || self.debug_info
    }

    /// A configuration with these settings, and wasmtime's defaults otherwise.
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.epoch_interruption(true);
        config.consume_fuel(self.fuel);
        // Always set explicitly: wasmtime's default reads an environment variable.
        config.wasm_backtrace_details(if self.backtrace_details {
            WasmBacktraceDetails::Enable
        } else {
            WasmBacktraceDetails::Disable
        });
        config.debug_info(self.debug_info);
        #[cfg(feature = "compiler")]
        self.compiler(&mut config);
        self.proposals.apply(&mut config);
        self.memories.apply(&mut config);
        config
    }

    #[cfg(feature = "compiler")]
    fn compiler(&self, config: &mut Config) {
        config.cranelift_opt_level(match self.optimize {
            Optimize::None => OptLevel::None,
            Optimize::Speed => OptLevel::Speed,
            Optimize::SpeedAndSize => OptLevel::SpeedAndSize,
        });
        config.cranelift_nan_canonicalization(self.nan_canonicalization);
    }

    /// Serialises the settings for the compiler process.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Only a failing writer can fail here, and a vector does not.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// Reads what [`Settings::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|error| wasmtime::Error::msg(error.to_string()))
    }
}

impl Proposals {
    fn apply(&self, config: &mut Config) {
        config.wasm_memory64(self.memory64);
        config.wasm_component_model(self.component_model);
        config.wasm_tail_call(self.tail_call);
        // Relaxed SIMD requires SIMD; GC requires reference types.
        config.wasm_relaxed_simd(self.simd && self.relaxed_simd);
        config.wasm_simd(self.simd);
        config.wasm_multi_memory(self.multi_memory);
        config.wasm_multi_value(self.multi_value);
        config.wasm_bulk_memory(self.bulk_memory || self.reference_types);
        config.wasm_reference_types(self.reference_types);
        let functions = self.reference_types && self.function_references;
        config.wasm_function_references(functions);
        config.wasm_gc(functions && self.gc);
        config.wasm_exceptions(self.exceptions && functions && self.gc);
        config.wasm_threads(self.threads);
        config.wasm_extended_const(self.extended_const);
        config.wasm_wide_arithmetic(self.wide_arithmetic);
        config.wasm_custom_page_sizes(self.custom_page_sizes);
    }
}

impl Memories {
    fn apply(self, config: &mut Config) {
        match self {
            Memories::Reserved => {}
            // The kernel merges adjacent anonymous mappings with the same rights, so instances without guard pages and
            // reservations need almost none. The price is an explicit bounds check at each access.
            Memories::Dense => {
                config.memory_reservation(0);
                config.memory_reservation_for_growth(0);
                config.memory_guard_size(0);
                config.guard_before_linear_memory(false);
                config.gc_heap_reservation(0);
                config.gc_heap_reservation_for_growth(0);
                config.gc_heap_guard_size(0);
                config.memory_init_cow(false);
            }
            Memories::Pooled(size) => {
                config.memory_reservation(size);
            }
        }
    }
}

/// Changes with the versions of wasmtime and of everything else in the compiler. Artefacts are only valid within one
/// build.
pub const BUILD: &str = env!("WASMEX_BUILD");

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            optimize: Optimize::Speed,
            memories: Memories::Pooled(1 << 26),
            proposals: Proposals {
                memory64: true,
                component_model: true,
                tail_call: true,
                simd: true,
                relaxed_simd: true,
                multi_memory: true,
                multi_value: true,
                bulk_memory: true,
                reference_types: true,
                function_references: true,
                gc: true,
                exceptions: true,
                threads: true,
                extended_const: true,
                wide_arithmetic: false,
                custom_page_sizes: false,
            },
            fuel: false,
            backtrace_details: false,
            debug_info: false,
            nan_canonicalization: false,
            limits: vec![1, 2, u64::MAX],
        }
    }

    #[test]
    fn bytes_are_the_settings() {
        let bytes = settings().to_bytes();
        assert_eq!(Settings::from_bytes(&bytes).ok(), Some(settings()));
        assert!(Settings::from_bytes(&bytes[..4]).is_err());
    }
}
