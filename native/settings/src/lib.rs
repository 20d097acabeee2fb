//! The settings of an engine that decide what the compiler makes.
//!
//! An artefact fits an engine only if both were made with the same ones. The library and the helper that compiles for
//! it therefore take them from here; what only matters while guests run stays with the library.

use serde::{Deserialize, Serialize};
use wasmtime::{Config, OptLevel, Result, WasmBacktraceDetails};

/// How hard the compiler tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Optimize {
    None,
    Speed,
    SpeedAndSize,
}

/// How linear memories lie in the address space, which decides where the compiled code checks bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memories {
    /// wasmtime's own: reserved, with guard pages.
    Reserved,
    /// No reservations and no guard pages.
    Dense,
    /// Each in a place of a pool, of this many bytes.
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

/// All that an artefact depends on, beside the versions of wasmtime and of this crate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub optimize: Optimize,
    pub memories: Memories,
    pub proposals: Proposals,
    pub fuel: bool,
    pub backtrace_details: bool,
    pub debug_info: bool,
    pub nan_canonicalization: bool,
    /// How much of each the code may ask for, in the order of `scan::Limit::ALL`. No artefact depends on it.
    pub limits: Vec<u64>,
}

impl Settings {
    /// A configuration with these settings; all others are wasmtime's defaults.
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.epoch_interruption(true);
        config.consume_fuel(self.fuel);
        config.cranelift_opt_level(match self.optimize {
            Optimize::None => OptLevel::None,
            Optimize::Speed => OptLevel::Speed,
            Optimize::SpeedAndSize => OptLevel::SpeedAndSize,
        });
        // Said either way: wasmtime's default reads an environment variable.
        config.wasm_backtrace_details(if self.backtrace_details {
            WasmBacktraceDetails::Enable
        } else {
            WasmBacktraceDetails::Disable
        });
        config.debug_info(self.debug_info);
        config.cranelift_nan_canonicalization(self.nan_canonicalization);
        self.proposals.apply(&mut config);
        self.memories.apply(&mut config);
        config
    }

    /// As bytes, for the helper.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Fails only where a writer does, and a vector does not.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// What [`Settings::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|error| wasmtime::Error::msg(error.to_string()))
    }
}

impl Proposals {
    fn apply(&self, config: &mut Config) {
        config.wasm_memory64(self.memory64);
        config.wasm_component_model(self.component_model);
        config.wasm_tail_call(self.tail_call);
        // Relaxed SIMD can't be on without SIMD, nor GC without the references it builds on.
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
            // Adjacent anonymous mappings with the same rights are one mapping to the kernel, so
            // without guard pages and reservations instances cost next to none. The price is an
            // explicit bounds check at each access.
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

/// Changes with the versions of wasmtime and of all else that the compiler is made of. Artefacts pass only between
/// programs of the same build.
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
