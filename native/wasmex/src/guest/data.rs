//! What a wasmtime store carries for us: its limits and its WASI context.

use crate::vm::error::Result;
use crate::vm::host_error::host_error;
use crate::vm::mappings::{Cost, MappingLimit, Mappings};
use crate::vm::slots::Slots;
use crate::wasi::context::{Context, View};
use crate::wasi::p2;
use rustler::NifStruct;
use wasmtime::{Memory, ResourceLimiter};
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// The data of a store: wasmtime hands it to every host function.
pub struct StoreData {
    /// Tells the stores apart; the id of the store cell.
    pub id: u64,
    /// What its guests may use.
    pub limits: Limits,
    wasi: Context,
    serial: u64,
    instances: u64,
    /// What the store had before each job with a budget of its own, the outermost first.
    pub fuel_before: Vec<u64>,
    /// The `memory` of the store's one instance, once it was asked for.
    only_memory: Option<Memory>,
    /// Under which names other than `memory` the store's instances export their first memory.
    memory_names: Vec<String>,
    /// What extensions attach, see [`crate::guest::extension`].
    pub slots: Slots,
}

/// Names of memories that are remembered: languages have one each.
const MEMORY_NAMES: usize = 16;

impl StoreData {
    /// With nothing attached yet.
    pub fn new(id: u64, limits: Limits, wasi: Context) -> Self {
        StoreData {
            id,
            limits,
            wasi,
            serial: 0,
            instances: 0,
            fuel_before: Vec::new(),
            only_memory: None,
            memory_names: Vec::new(),
            slots: Slots::default(),
        }
    }

    /// Names one invocation of an import.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Called before an instance is made; `memory` is the name of its memory, unless that is `memory`.
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

    /// The `memory` of the store's one instance, if it is known.
    pub fn only_memory(&self) -> Option<Memory> {
        self.only_memory
    }

    /// True when there is no other instance whose memory it could be.
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

/// `Wasmex.StoreLimits`, and what has been used of it.
#[derive(NifStruct, Clone, Default)]
#[module = "Wasmex.StoreLimits"]
pub struct LimitsSpec {
    /// Bytes of all memories.
    pub memory_size: Option<u64>,
    /// Elements of each table.
    pub table_elements: Option<u64>,
    /// Instances.
    pub instances: Option<u64>,
    /// Tables.
    pub tables: Option<u64>,
    /// Memories.
    pub memories: Option<u64>,
    /// What one call may hand over between host and component, see `component/lift.rs`.
    pub hostcall_fuel: Option<u64>,
    /// How many calls may be under way at once, each made by an import of the one before.
    pub call_depth: Option<u64>,
}

/// Instances, memories and tables of a store where its limits say nothing.
const COUNT: usize = 500;

/// Calls that may be nested where the limits say nothing.
const CALL_DEPTH: usize = 64;

/// What an element of a table takes.
const TABLE_ELEMENT: u64 = 8;

/// More bytes than a process can address: such a growth fails in any case and is not counted.
const ADDRESSES: usize = 1 << 47;

const PAGE: u64 = 65_536;

host_error! {
    /// What a guest that may not have more memory is stopped with.
    #[derive(Debug)]
    pub struct OverLimit = oom {
        /// Pages that memories may grow by.
        pages: Option<u64>,
        /// Bytes that all memories may have.
        bytes: Option<u64>,
    }
}

impl std::fmt::Display for OverLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("oom: the guest asked for more memory than it may have")
    }
}

impl std::error::Error for OverLimit {}

/// What tables may take in any case: programs have some for their functions.
const TABLES: u64 = 1 << 20;

/// `memory_size` bounds the sum over all memories of the store, or a guest with many memories would escape it, and
/// apart from that the bytes of all tables. A growth that is allowed and fails for want of memory stays counted: whether
/// one that fails had been allowed can't be told, and a guest could have the others taken back for it.
pub struct Limits {
    spec: LimitsSpec,
    cost: Cost,
    mappings: Mappings,
    /// Of those, what the memories have.
    memory_mappings: u32,
    memory_total: u64,
    /// Bytes of all tables, which are the host's memory.
    table_total: u64,
    /// The most that all memories of the store had together.
    pub memory_peak: u64,
    /// Bytes that memories may still grow by, and of how many pages.
    growth: Option<(u64, u64)>,
    /// Whether who asks for too much is stopped.
    stops: bool,
}

impl Limits {
    /// Of which nothing is used yet.
    pub fn new(spec: LimitsSpec, cost: Cost) -> Self {
        Limits {
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

    /// From now on memories may grow by so many pages, and who asks for more than is allowed is stopped.
    pub fn bound_growth(&mut self, pages: Option<u64>) {
        self.growth = pages.map(|pages| (pages.saturating_mul(PAGE), pages));
        self.stops = true;
    }

    /// Bytes that the host keeps for the guest count as its memory: `now` in the place of `before`.
    pub fn hold(&mut self, before: u64, now: u64) -> std::result::Result<(), OverLimit> {
        let total = self.memory_total.saturating_sub(before).saturating_add(now);
        if now > before && self.spec.memory_size.is_some_and(|limit| total > limit) {
            return Err(self.over());
        }
        self.memory_total = total;
        Ok(())
    }

    /// The error that stops a guest.
    pub fn over(&self) -> OverLimit {
        OverLimit {
            pages: self.growth.map(|(_, pages)| pages),
            bytes: self.spec.memory_size,
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
    /// Too many calls are nested.
    #[derive(Debug)]
    pub struct CallDepth = call_depth {
        /// How many may be.
        limit: u64,
    }
}

impl Limits {
    /// A call begins within so many others. It needs a stack, and one more may be too many.
    pub fn enter_call(&mut self, level: usize) -> Result<()> {
        let limit = count(self.spec.call_depth, CALL_DEPTH);
        if level >= limit {
            let limit = limit as u64;
            return Err(CallDepth { limit }.into());
        }
        self.stacks(level + 1)?;
        Ok(())
    }

    /// It is over. The store keeps one stack for the next call.
    pub fn leave_call(&mut self, level: usize) {
        // There were more a moment ago.
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
        let limit = self.spec.memory_size;
        // A guest may ask for more than there are numbers.
        let grown = desired.saturating_sub(current) as u64;
        let total = self.memory_total.saturating_add(grown);
        let over = limit.is_some_and(|limit| total > limit);
        if desired > ADDRESSES || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if over || self.growth.is_some_and(|(left, _)| grown > left) {
            return self.refuse();
        }
        if current == 0 {
            // It is being made, or is the first growth of one that was made empty.
            self.new_memory()?;
        }
        if let Some((left, _)) = &mut self.growth {
            *left -= grown;
        }
        self.memory_total = total;
        self.memory_peak = self.memory_peak.max(total);
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
        let elements = self.spec.table_elements;
        let bytes = self.spec.memory_size.map(|limit| limit.max(TABLES));
        let fits = elements.is_none_or(|limit| desired as u64 <= limit)
            && bytes.is_none_or(|limit| total <= limit)
            && maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.table_total = total;
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
