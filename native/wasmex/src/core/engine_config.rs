//! `Wasmex.EngineConfig` as a wasmtime configuration.

use crate::observe::profiler;
use crate::vm::atoms;
use rustler::{Atom, NifStruct};
use std::num::NonZeroUsize;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, OptLevel,
    PoolingAllocationConfig, Result, WasmBacktraceDetails, bail,
};

#[derive(NifStruct)]
#[module = "Wasmex.EngineConfig"]
pub struct EngineConfig {
    pub consume_fuel: bool,
    pub cranelift_opt_level: Atom,
    pub wasm_backtrace_details: bool,
    pub memory64: bool,
    pub wasm_component_model: bool,
    pub debug_info: bool,
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
    pub nan_canonicalization: bool,
    pub max_wasm_stack: u64,
    pub density: bool,
    pub pooling: Option<u32>,
    pub pooling_memory_size: u64,
    pub pooling_keep_resident: u64,
    pub cache: Option<String>,
    pub core_dump: bool,
}

/// Room on a fiber's stack beyond what the guest may use, for the host functions it calls.
const HOST_STACK: usize = 512 * 1024;

impl EngineConfig {
    pub fn build(&self) -> Result<Config> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        config.consume_fuel(self.consume_fuel);
        config.cranelift_opt_level(self.opt_level()?);
        config.wasm_backtrace_max_frames(NonZeroUsize::new(profiler::MAX_FRAMES));
        config.wasm_backtrace_details(if self.wasm_backtrace_details {
            WasmBacktraceDetails::Enable
        } else {
            WasmBacktraceDetails::Disable
        });
        config.debug_info(self.debug_info);
        self.proposals(&mut config);
        config.cranelift_nan_canonicalization(self.nan_canonicalization);
        let stack = usize::try_from(self.max_wasm_stack)?;
        if !(16 * 1024..=64 * 1024 * 1024).contains(&stack) {
            bail!("max_wasm_stack must be between 16 KiB and 64 MiB, got {stack} bytes");
        }
        config.max_wasm_stack(stack);
        config.async_stack_size(stack + HOST_STACK);
        config.coredump_on_trap(self.core_dump);
        self.allocation(&mut config)?;
        if let Some(directory) = &self.cache {
            let mut cache = CacheConfig::new();
            cache.with_directory(directory);
            config.cache(Some(Cache::new(cache)?));
        }
        Ok(config)
    }

    fn opt_level(&self) -> Result<OptLevel> {
        match self.cranelift_opt_level {
            level if level == atoms::none() => Ok(OptLevel::None),
            level if level == atoms::speed() => Ok(OptLevel::Speed),
            level if level == atoms::speed_and_size() => Ok(OptLevel::SpeedAndSize),
            _ => bail!("cranelift_opt_level must be :none, :speed or :speed_and_size"),
        }
    }

    fn proposals(&self, config: &mut Config) {
        config.wasm_memory64(self.memory64);
        config.wasm_component_model(self.wasm_component_model);
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

    fn allocation(&self, config: &mut Config) -> Result<()> {
        if self.density && self.pooling.is_some() {
            bail!("density and pooling exclude each other: the pool reserves what density saves");
        }
        if self.density {
            // Adjacent anonymous mappings with the same rights are one mapping to the kernel, so
            // without guard pages and reservations instances cost next to none. The price is an
            // explicit bounds check at each access.
            config.memory_reservation(0);
            config.memory_reservation_for_growth(0);
            config.memory_guard_size(0);
            config.guard_before_linear_memory(false);
            config.gc_heap_reservation(0);
            config.gc_heap_reservation_for_growth(0);
            config.gc_heap_guard_size(0);
            config.memory_init_cow(false);
            config.with_host_stack(std::sync::Arc::new(crate::guest::stacks::Stacks::new()));
        }
        if let Some(instances) = self.pooling {
            let memory = usize::try_from(self.pooling_memory_size)?;
            let mut pool = PoolingAllocationConfig::new();
            pool.total_core_instances(instances);
            pool.total_memories(instances);
            pool.total_tables(instances);
            pool.total_stacks(instances);
            pool.total_gc_heaps(instances);
            pool.max_memory_size(memory);
            pool.pagemap_scan(Enabled::Auto);
            let resident = usize::try_from(self.pooling_keep_resident)?;
            pool.linear_memory_keep_resident(resident);
            pool.table_keep_resident(resident);
            // A suspended call touches some pages of its stack, which need no zeroing either.
            pool.async_stack_keep_resident(resident.min(64 * 1024));
            config.memory_reservation(memory as u64);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        Ok(())
    }
}
