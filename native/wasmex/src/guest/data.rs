//! The data of a wasmtime store: limits, WASI context and extensions.

use crate::guest::held::Held;
use crate::guest::host_term::HostTerm;
use crate::vm::error::Result;
use crate::vm::host_error::host_error;
use crate::vm::machine;
use crate::vm::mappings::{Cost, MappingLimit, Mappings};
use crate::vm::slots::Slots;
use crate::wasi::context::{Context, View};
use crate::wasi::p2;
use rustler::NifStruct;
use std::sync::Arc;
use wasmtime::{GcHeapOutOfMemory, Memory, ResourceLimiter};
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// The data of a store, which wasmtime passes to every host function.
pub struct StoreData {
    /// The store's id, the same as the cell's.
    pub id: u64,
    /// The limits of its guests, and their use.
    pub limits: Limits,
    /// What their traps do.
    pub traps: Traps,
    wasi: Context,
    serial: u64,
    instances: u64,
    /// The fuel of the store before each job with its own budget, outermost first.
    pub fuel_before: Vec<u64>,
    /// The `memory` of the store's only instance, once it was looked up.
    only_memory: Option<Memory>,
    /// Names other than `memory` under which instances export their first memory.
    memory_names: Vec<String>,
    /// Attached by extensions, see [`crate::guest::extension`].
    pub slots: Slots,
}

/// What a trap does besides ending its call.
#[derive(Clone, Copy, Default)]
pub struct Traps {
    /// It parses the debug information of its module.
    pub details: bool,
    /// Bytes of the largest core dump that it writes, if the engine makes any.
    pub core_dump_size: u64,
}

/// Maximum number of remembered memory names: each language has one.
const MEMORY_NAMES: usize = 16;

impl StoreData {
    /// Nothing attached yet.
    pub fn new(id: u64, limits: Limits, wasi: Context) -> Self {
        StoreData {
            id,
            limits,
            traps: Traps::default(),
            wasi,
            serial: 0,
            instances: 0,
            fuel_before: Vec::new(),
            only_memory: None,
            memory_names: Vec::new(),
            slots: Slots::default(),
        }
    }

    /// Identifies one invocation of an import.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Called before an instance is created; `memory` is the name of its memory if it is not `memory`.
    pub fn count_instance(&mut self, memory: Option<&str>) {
        self.instances += 1;
        self.only_memory = None;
        if let Some(name) = memory
            && self.memory_names.len() < MEMORY_NAMES
            && !self.memory_names.iter().any(|known| known == name)
        {
            self.memory_names.push(name.to_string());
        }
    }

    /// See [`Self::count_instance`].
    pub fn memory_names(&self) -> &[String] {
        &self.memory_names
    }

    /// The `memory` of the store's only instance, if known.
    pub fn only_memory(&self) -> Option<Memory> {
        self.only_memory
    }

    /// Whether there is no other instance that the memory could belong to.
    pub fn remember_memory(&mut self, memory: Memory) -> bool {
        let only = self.instances == 1;
        if only {
            self.only_memory = Some(memory);
        }
        only
    }
}

impl View for StoreData {
    fn wasi_context(&self) -> &Context {
        &self.wasi
    }

    fn wasi_context_mut(&mut self) -> &mut Context {
        &mut self.wasi
    }

    fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi().ctx()
    }
}

impl WasiHttpView for StoreData {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        p2::http_view(self)
    }
}

/// `Wasmex.StoreLimits` and its use so far.
#[derive(NifStruct, Clone, Default)]
#[module = "Wasmex.StoreLimits"]
pub struct LimitsSpec {
    /// Bytes of all memories, and of the heap of objects that are garbage-collected.
    pub memory_size: Option<u64>,
    /// Elements of each table.
    pub table_elements: Option<u64>,
    /// Instances.
    pub instances: Option<u64>,
    /// Tables.
    pub tables: Option<u64>,
    /// Memories.
    pub memories: Option<u64>,
    /// Data that one call may pass between host and component, see `component/lift.rs`.
    pub hostcall_fuel: Option<u64>,
    /// Nesting of calls, each made by an import of the one before.
    pub call_depth: Option<u64>,
}

/// Default number of instances, memories and tables of a store.
const COUNT: usize = 500;

/// Default nesting of calls.
const CALL_DEPTH: usize = 64;

/// Bytes per table element: 8, and up to 16 in the list of what refers to objects, which a collection makes.
const TABLE_ELEMENT: u64 = 24;

/// Default number of elements of a table: the maximum of the JavaScript embedding.
const TABLE_ELEMENTS: u64 = 10_000_000;

/// Default size of all memories, if the machine has twice as much: what a memory with 32-bit addresses may have.
const MEMORY: u64 = 1 << 32;

/// The same of all tables, and of all terms of the host.
const OTHERS: u64 = 1 << 30;

/// More bytes than a process can address: such a growth fails anyway and is not counted.
const ADDRESSES: usize = 1 << 47;

const PAGE: u64 = 65_536;

host_error! {
    /// The trap of a guest that exceeds its memory limit.
    #[derive(Debug)]
    pub struct OverLimit = oom {
        /// Pages by which memories may grow.
        pages: Option<u64>,
        /// Total bytes of all memories.
        bytes: Option<u64>,
    }
}

impl std::fmt::Display for OverLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("oom: the guest asked for more memory than it may have")
    }
}

impl std::error::Error for OverLimit {}

host_error! {
    /// The heap of objects that are garbage-collected is full.
    #[derive(Debug)]
    pub struct HeapFull = oom {
        /// Bytes that it may have together with all memories.
        heap: u64,
    }
}

impl std::fmt::Display for HeapFull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("oom: the objects of the guest take more memory than it may have")
    }
}

impl std::error::Error for HeapFull {}

impl LimitsSpec {
    /// Bytes of all memories.
    fn memory(&self) -> u64 {
        self.memory_size
            .unwrap_or_else(|| MEMORY.min(machine::half_of_memory()))
    }

    /// Bytes of all tables, of all terms of the host, and of a pipe without a capacity, each.
    pub fn others(&self) -> u64 {
        self.memory_size
            .unwrap_or_else(|| OTHERS.min(self.memory()))
    }
}

/// Table memory that is always allowed: programs need a table for their functions.
const TABLES: u64 = 3 << 20;

/// The same for terms of the host.
const TERMS: u64 = 1 << 20;

/// `memory_size` limits the sum of all memories of the store, since a guest could otherwise use many, and separately
/// the bytes of all tables, and of all terms of the host that its guests hold. A growth that was allowed but fails for lack of memory stays counted: a failed growth does
/// not say whether it was allowed, and guests could abuse a refund.
pub struct Limits {
    spec: LimitsSpec,
    /// Bytes of all memories.
    memory: u64,
    /// Bytes of all tables, and of all terms of the host.
    others: u64,
    cost: Cost,
    mappings: Mappings,
    /// The part used by memories.
    memory_mappings: u32,
    memory_total: u64,
    /// Bytes of all tables, in host memory.
    table_total: u64,
    /// What terms of the host take that guests hold.
    held: Arc<Held>,
    /// The peak total size of all memories.
    pub memory_peak: u64,
    /// Bytes by which memories may still grow, and the limit in pages.
    growth: Option<(u64, u64)>,
    /// Whether exceeding the limit traps.
    stops: bool,
}

impl Limits {
    /// Nothing is used yet.
    pub fn new(spec: LimitsSpec, cost: Cost) -> Self {
        let (memory, others) = (spec.memory(), spec.others());
        Limits {
            held: Held::new(others.max(TERMS)),
            memory,
            others: others.max(TABLES),
            spec,
            cost,
            mappings: Mappings::default(),
            memory_mappings: 0,
            memory_total: 0,
            table_total: 0,
            memory_peak: 0,
            growth: None,
            stops: false,
        }
    }

    /// Limits the growth of memories from now on to this many pages; exceeding it traps.
    pub fn bound_growth(&mut self, pages: Option<u64>) {
        self.growth = pages.map(|pages| (pages.saturating_mul(PAGE), pages));
        self.stops = true;
    }

    /// What terms that guests hold may take.
    pub fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// The same error, with the limit if it is that of a full heap of objects.
    pub fn name_full_heap(&self, error: wasmtime::Error) -> wasmtime::Error {
        let full = error.is::<GcHeapOutOfMemory<()>>() || error.is::<GcHeapOutOfMemory<HostTerm>>();
        match full {
            true => error.context(HeapFull { heap: self.memory }),
            false => error,
        }
    }

    /// Counts host memory held for the guest as its memory: `now` replaces `before`.
    pub fn hold(&mut self, before: u64, now: u64) -> std::result::Result<(), OverLimit> {
        let total = self.memory_total.saturating_sub(before).saturating_add(now);
        if now > before && total > self.memory {
            return Err(self.over());
        }
        self.memory_total = total;
        Ok(())
    }

    /// The trap for the guest.
    pub fn over(&self) -> OverLimit {
        OverLimit {
            pages: self.growth.map(|(_, pages)| pages),
            bytes: Some(self.memory).filter(|limit| *limit < u64::MAX),
        }
    }

    fn refuse(&self) -> wasmtime::Result<bool> {
        match self.stops {
            true => Err(self.over().into()),
            false => Ok(false),
        }
    }
}

host_error! {
    /// Calls are nested too deeply.
    #[derive(Debug)]
    pub struct CallDepth = call_depth {
        /// The maximum.
        limit: u64,
    }
}

impl Limits {
    /// A nested call begins. It needs a stack, and may exceed the maximum.
    pub fn enter_call(&mut self, level: usize) -> Result<()> {
        let limit = count(self.spec.call_depth, CALL_DEPTH);
        if level >= limit {
            let limit = limit as u64;
            return Err(CallDepth { limit }.into());
        }
        self.stacks(level + 1)?;
        Ok(())
    }

    /// The call has ended. The store keeps one stack for the next call.
    pub fn leave_call(&mut self, level: usize) {
        // There were more until now.
        let _ = self.stacks(level.max(1));
    }

    fn stacks(&mut self, stacks: usize) -> std::result::Result<(), MappingLimit> {
        let wanted = self.memory_mappings + self.cost.stack * stacks as u32;
        match wanted.checked_sub(self.mappings.count()) {
            Some(more) => self.mappings.grow(more),
            None => {
                self.mappings.shrink_to(wanted);
                Ok(())
            }
        }
    }

    fn new_memory(&mut self) -> std::result::Result<(), MappingLimit> {
        self.mappings.grow(self.cost.memory)?;
        self.memory_mappings += self.cost.memory;
        Ok(())
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The guest may request more than the type can hold.
        let grown = desired.saturating_sub(current) as u64;
        let total = self.memory_total.saturating_add(grown);
        let over = total > self.memory;
        if desired > ADDRESSES || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if over || self.growth.is_some_and(|(left, _)| grown > left) {
            return self.refuse();
        }
        if current == 0 {
            // Creation, or the first growth of an empty one.
            self.new_memory()?;
        }
        if let Some((left, _)) = &mut self.growth {
            *left -= grown;
        }
        self.memory_total = total;
        self.memory_peak = self.memory_peak.max(total);
        self.held.memory_grown(total);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = (desired.saturating_sub(current) as u64).saturating_mul(TABLE_ELEMENT);
        let total = self.table_total.saturating_add(grown);
        let elements = self.spec.table_elements.unwrap_or(TABLE_ELEMENTS);
        let fits = desired as u64 <= elements
            && total <= self.others
            && maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.table_total = total;
            self.held.tables_grown(total);
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        count(self.spec.instances, COUNT)
    }

    fn tables(&self) -> usize {
        count(self.spec.tables, COUNT)
    }

    fn memories(&self) -> usize {
        count(self.spec.memories, COUNT)
    }
}

fn count(limit: Option<u64>, default: usize) -> usize {
    limit.map_or(default, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}
