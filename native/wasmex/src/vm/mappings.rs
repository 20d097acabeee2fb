//! The memory mappings of all guests, counted in the whole VM.
//!
//! The kernel allows a process a number of mappings (`vm.max_map_count` on Linux, 65,530 by default). A VM that needs
//! one more for a heap of its own is aborted. So guests may use half of that number, and get an error beyond it.

use crate::vm::host_error::host_error;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Taken by all guests together.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// How many mappings guests may have together. Elsewhere than on Linux there is no such limit.
fn limit() -> u64 {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let most = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let most = most.ok().and_then(|text| text.trim().parse::<u64>().ok());
        most.map_or(u64::MAX, |most| most / 2)
    })
}

host_error! {
    /// Guests have as many mappings as they may.
    #[derive(Debug)]
    pub struct MappingLimit = mapping_limit {
        /// How many they may have.
        limit: u64,
    }
}

impl std::fmt::Display for MappingLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the guests of this VM have {} memory mappings, which is the limit",
            self.limit
        )
    }
}

impl std::error::Error for MappingLimit {}

/// Mappings that something has. They are given back when this is dropped.
#[derive(Default)]
pub struct Mappings(u32);

impl Mappings {
    /// Takes some, if they are left.
    pub fn take(count: u32) -> Result<Self, MappingLimit> {
        let mut mappings = Mappings(0);
        mappings.grow(count)?;
        Ok(mappings)
    }

    /// How many it has.
    pub fn count(&self) -> u32 {
        self.0
    }

    /// Takes more.
    pub fn grow(&mut self, count: u32) -> Result<(), MappingLimit> {
        let limit = limit();
        let before = TAKEN.fetch_add(u64::from(count), Ordering::Relaxed);
        if before + u64::from(count) > limit {
            TAKEN.fetch_sub(u64::from(count), Ordering::Relaxed);
            return Err(MappingLimit { limit });
        }
        self.0 += count;
        Ok(())
    }

    /// Gives back all but this many.
    pub fn shrink_to(&mut self, count: u32) {
        let less = self.0.saturating_sub(count);
        self.0 -= less;
        TAKEN.fetch_sub(u64::from(less), Ordering::Relaxed);
    }
}

impl Drop for Mappings {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// How many mappings the parts of a guest need, which depends on the settings of its engine.
#[derive(Clone, Copy)]
pub struct Cost {
    /// A linear memory: what is accessible, its image, and the reservation behind it.
    pub memory: u32,
    /// The stack of a call.
    pub stack: u32,
}

impl Cost {
    /// Memories with reservations, and stacks of a pool, each with a guard page.
    pub const POOLED: Self = Cost {
        memory: 3,
        stack: 2,
    };
    /// Memories with reservations. Stacks have none, see `guest/stacks.rs`.
    pub const RESERVED: Self = Cost {
        memory: 3,
        stack: 0,
    };
    /// Neither: adjacent mappings are one to the kernel.
    pub const MERGED: Self = Cost {
        memory: 0,
        stack: 0,
    };
}

/// A compiled module: its code, and its data before and behind that.
pub const CODE: u32 = 3;
