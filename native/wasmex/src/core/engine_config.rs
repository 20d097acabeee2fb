//! `Wasmex.EngineConfig` as a wasmtime configuration.

use crate::guest::data::Traps;
#[cfg(unix)]
use crate::guest::memories::Memories;
use crate::guest::stacks::Stacks;
use crate::vm::atoms;
use crate::vm::mappings::Cost;
use crate::vm::options::Options;
use rustler::Atom;
use std::num::NonZeroUsize;
use std::sync::Arc;
use wasmex_settings::{Memories as Layout, Optimize, Proposals, Settings};
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Result, bail,
};

/// Frames that wasmtime captures for a backtrace: as many as profiles use. Errors show fewer, see `vm/error.rs`.
pub const MAX_FRAMES: usize = 512;

/// The same with debug information, which wasmtime parses anew for each frame.
const MAX_DETAILED: usize = 64;

/// Room on a fiber's stack beyond the guest's limit, for the host functions it calls.
const HOST_STACK: usize = 1024 * 1024;

/// The compiler settings, also passed to the compiler process, without the limits of the scan.
pub fn settings(options: &Options) -> Result<Settings> {
    Ok(Settings {
        optimize: optimize(options)?,
        memories: memories(options)?,
        proposals: proposals(options)?,
        fuel: options.get("consume_fuel")?,
        backtrace_details: options.get("wasm_backtrace_details")?,
        debug_info: options.get("debug_info")?,
        nan_canonicalization: options.get("nan_canonicalization")?,
        limits: vec![],
    })
}

/// The configuration for the options of `Wasmex.EngineConfig`: the compiler settings, and those that only matter at run
/// time.
pub fn build(options: &Options, settings: &Settings) -> Result<Config> {
    let mut config = settings.config();
    let frames = match settings.backtrace_details {
        true => MAX_DETAILED,
        false => MAX_FRAMES,
    };
    config.wasm_backtrace_max_frames(NonZeroUsize::new(frames));
    let stack: usize = options.get("max_wasm_stack")?;
    if !(16 * 1024..=64 * 1024 * 1024).contains(&stack) {
        bail!("max_wasm_stack must be between 16 KiB and 64 MiB, got {stack} bytes");
    }
    config.max_wasm_stack(stack);
    config.async_stack_size(stack + HOST_STACK);
    config.coredump_on_trap(options.get("core_dump")?);
    match settings.memories {
        Layout::Pooled(size) => {
            let pool = pool(options, usize::try_from(size)?)?;
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        // The pool has its own stacks.
        Layout::Reserved => own_stacks(&mut config),
        Layout::Dense => {
            own_stacks(&mut config);
            #[cfg(unix)]
            config.with_host_memory(Memories::creator());
        }
    }
    Ok(config)
}

/// Only where fibers can have stacks of ours; elsewhere wasmtime allocates them.
fn own_stacks(config: &mut Config) {
    if cfg!(unix) {
        config.with_host_stack(Arc::new(Stacks::new()));
    }
}

/// Number of mappings that guests of an engine with these options need.
pub fn cost(options: &Options) -> Result<Cost> {
    Ok(if options.get("density")? {
        Cost::MERGED
    } else if options.get::<Option<u32>>("pooling")?.is_some() {
        Cost::POOLED
    } else {
        Cost::RESERVED
    })
}

/// What a trap does in an engine with these options.
pub fn traps(options: &Options) -> Result<Traps> {
    Ok(Traps {
        details: options.get("wasm_backtrace_details")?,
        core_dump_size: options.get("core_dump_size")?,
    })
}

fn optimize(options: &Options) -> Result<Optimize> {
    match options.get::<Atom>("cranelift_opt_level")? {
        level if level == atoms::none() => Ok(Optimize::None),
        level if level == atoms::speed() => Ok(Optimize::Speed),
        level if level == atoms::speed_and_size() => Ok(Optimize::SpeedAndSize),
        _ => bail!("cranelift_opt_level must be :none, :speed or :speed_and_size"),
    }
}

fn memories(options: &Options) -> Result<Layout> {
    let pooling: Option<u32> = options.get("pooling")?;
    match (options.get("density")?, pooling) {
        (true, Some(_)) => {
            bail!("density and pooling exclude each other: the pool reserves what density saves")
        }
        (true, None) => Ok(Layout::Dense),
        (false, Some(_)) => Ok(Layout::Pooled(options.get("pooling_memory_size")?)),
        (false, None) => Ok(Layout::Reserved),
    }
}

fn proposals(options: &Options) -> Result<Proposals> {
    Ok(Proposals {
        memory64: options.get("memory64")?,
        component_model: options.get("wasm_component_model")?,
        tail_call: options.get("tail_call")?,
        simd: options.get("simd")?,
        relaxed_simd: options.get("relaxed_simd")?,
        multi_memory: options.get("multi_memory")?,
        multi_value: options.get("multi_value")?,
        bulk_memory: options.get("bulk_memory")?,
        reference_types: options.get("reference_types")?,
        function_references: options.get("function_references")?,
        gc: options.get("gc")?,
        exceptions: options.get("exceptions")?,
        threads: options.get("threads")?,
        extended_const: options.get("extended_const")?,
        wide_arithmetic: options.get("wide_arithmetic")?,
        custom_page_sizes: options.get("custom_page_sizes")?,
    })
}

fn pool(options: &Options, memory: usize) -> Result<PoolingAllocationConfig> {
    let instances = options.get::<Option<u32>>("pooling")?.unwrap_or(1);
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
    // A suspended call touches some pages of its stack; they need no zeroing either.
    pool.async_stack_keep_resident(resident.min(64 * 1024));
    Ok(pool)
}
