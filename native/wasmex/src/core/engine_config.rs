//! `Wasmex.EngineConfig` as a wasmtime configuration.

use crate::guest::memories::Memories;
use crate::guest::stacks::Stacks;
use crate::vm::atoms;
use crate::vm::mappings::Cost;
use crate::vm::options::Options;
use rustler::Atom;
use std::num::NonZeroUsize;
use std::sync::Arc;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, OptLevel,
    PoolingAllocationConfig, Result, WasmBacktraceDetails, bail,
};

/// Frames of a backtrace that wasmtime captures: as many as profiles use. Errors tell less, see `vm/error.rs`.
pub const MAX_FRAMES: usize = 512;

/// Room on a fiber's stack beyond what the guest may use, for the host functions it calls.
const HOST_STACK: usize = 1024 * 1024;

/// The configuration that the options of `Wasmex.EngineConfig` ask for.
pub fn build(options: &Options) -> Result<Config> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.consume_fuel(options.get("consume_fuel")?);
    config.cranelift_opt_level(opt_level(options)?);
    config.wasm_backtrace_max_frames(NonZeroUsize::new(MAX_FRAMES));
    config.wasm_backtrace_details(if options.get("wasm_backtrace_details")? {
        WasmBacktraceDetails::Enable
    } else {
        WasmBacktraceDetails::Disable
    });
    config.debug_info(options.get("debug_info")?);
    proposals(options, &mut config)?;
    config.cranelift_nan_canonicalization(options.get("nan_canonicalization")?);
    let stack: usize = options.get("max_wasm_stack")?;
    if !(16 * 1024..=64 * 1024 * 1024).contains(&stack) {
        bail!("max_wasm_stack must be between 16 KiB and 64 MiB, got {stack} bytes");
    }
    config.max_wasm_stack(stack);
    config.async_stack_size(stack + HOST_STACK);
    config.coredump_on_trap(options.get("core_dump")?);
    allocation(options, &mut config)?;
    if let Some(directory) = options.get::<Option<&str>>("cache")? {
        let mut cache = CacheConfig::new();
        cache.with_directory(directory);
        config.cache(Some(Cache::new(cache)?));
    }
    Ok(config)
}

/// How many mappings guests of an engine with these options need.
pub fn cost(options: &Options) -> Result<Cost> {
    Ok(if options.get("density")? {
        Cost::MERGED
    } else if options.get::<Option<u32>>("pooling")?.is_some() {
        Cost::POOLED
    } else {
        Cost::RESERVED
    })
}

fn opt_level(options: &Options) -> Result<OptLevel> {
    match options.get::<Atom>("cranelift_opt_level")? {
        level if level == atoms::none() => Ok(OptLevel::None),
        level if level == atoms::speed() => Ok(OptLevel::Speed),
        level if level == atoms::speed_and_size() => Ok(OptLevel::SpeedAndSize),
        _ => bail!("cranelift_opt_level must be :none, :speed or :speed_and_size"),
    }
}

fn proposals(options: &Options, config: &mut Config) -> Result<()> {
    config.wasm_memory64(options.get("memory64")?);
    config.wasm_component_model(options.get("wasm_component_model")?);
    config.wasm_tail_call(options.get("tail_call")?);
    // Relaxed SIMD can't be on without SIMD, nor GC without the references it builds on.
    let simd = options.get("simd")?;
    config.wasm_simd(simd);
    config.wasm_relaxed_simd(simd && options.get("relaxed_simd")?);
    config.wasm_multi_memory(options.get("multi_memory")?);
    config.wasm_multi_value(options.get("multi_value")?);
    let references = options.get("reference_types")?;
    config.wasm_bulk_memory(references || options.get("bulk_memory")?);
    config.wasm_reference_types(references);
    let functions = references && options.get("function_references")?;
    config.wasm_function_references(functions);
    let gc = functions && options.get("gc")?;
    config.wasm_gc(gc);
    config.wasm_exceptions(gc && options.get("exceptions")?);
    config.wasm_threads(options.get("threads")?);
    config.wasm_extended_const(options.get("extended_const")?);
    config.wasm_wide_arithmetic(options.get("wide_arithmetic")?);
    config.wasm_custom_page_sizes(options.get("custom_page_sizes")?);
    Ok(())
}

fn allocation(options: &Options, config: &mut Config) -> Result<()> {
    let density: bool = options.get("density")?;
    let pooling: Option<u32> = options.get("pooling")?;
    if density && pooling.is_some() {
        bail!("density and pooling exclude each other: the pool reserves what density saves");
    }
    if density {
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
        // Elsewhere wasmtime's own do.
        #[cfg(unix)]
        config.with_host_memory(Memories::creator());
    }
    if pooling.is_none() {
        // The pool has stacks of its own.
        config.with_host_stack(Arc::new(Stacks::new()));
    }
    if let Some(instances) = pooling {
        let memory: usize = options.get("pooling_memory_size")?;
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(instances);
        pool.total_memories(instances);
        pool.total_tables(instances);
        pool.total_stacks(instances);
        pool.total_gc_heaps(instances);
        pool.max_memory_size(memory);
        pool.pagemap_scan(Enabled::Auto);
        let resident: usize = options.get("pooling_keep_resident")?;
        pool.linear_memory_keep_resident(resident);
        pool.table_keep_resident(resident);
        // A suspended call touches some pages of its stack, which need no zeroing either.
        pool.async_stack_keep_resident(resident.min(64 * 1024));
        config.memory_reservation(memory as u64);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    Ok(())
}
