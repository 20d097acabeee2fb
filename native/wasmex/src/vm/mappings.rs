//! Counts the memory mappings of all guests in the VM.
//!
//! The kernel limits the mappings of a process (`vm.max_map_count` on Linux, 65,530 by default). If the VM itself
//! cannot get one for a heap, it aborts. So guests may use half of that number, and get an error beyond it.

use crate::vm::host_error::host_error;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Used by all guests together.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Maximum for all guests together. Systems other than Linux have no such limit.
fn limit() -> u64 {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let most = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let most = most.ok().and_then(|text| text.trim().parse::<u64>().ok());
        most.map_or(u64::MAX, |most| most / 2)
    })
}

host_error! {
    /// The guests have used all their mappings.
    #[derive(Debug)]
    pub struct MappingLimit = mapping_limit {
        /// The maximum.
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

/// Mappings reserved by an object; returned when dropped.
#[derive(Default)]
pub struct Mappings(u32);

impl Mappings {
    /// Reserves some, if available.
    pub fn take(count: u32) -> Result<Self, MappingLimit> {
        let mut mappings = Mappings(0);
        mappings.grow(count)?;
        Ok(mappings)
    }

    /// How many it has reserved.
    pub fn count(&self) -> u32 {
        self.0
    }

    /// Reserves more.
    pub fn grow(&mut self, count: u32) -> Result<(), MappingLimit> {
        // As for most calls, which then touch no memory that other schedulers write.
        if count == 0 {
            return Ok(());
        }
        let limit = limit();
        let before = TAKEN.fetch_add(u64::from(count), Ordering::Relaxed);
        if before + u64::from(count) > limit {
            TAKEN.fetch_sub(u64::from(count), Ordering::Relaxed);
            return Err(MappingLimit { limit });
        }
        self.0 += count;
        Ok(())
    }

    /// Returns all but this many.
    pub fn shrink_to(&mut self, count: u32) {
        let less = self.0.saturating_sub(count);
        if less == 0 {
            return;
        }
        self.0 -= less;
        TAKEN.fetch_sub(u64::from(less), Ordering::Relaxed);
    }
}

impl Drop for Mappings {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Mappings needed by each part of a guest, which depends on the engine's settings.
#[derive(Clone, Copy)]
pub struct Cost {
    /// A linear memory: its accessible part, its image, and its reservation.
    pub memory: u32,
    /// The stack of a call.
    pub stack: u32,
}

impl Cost {
    /// Memories with reservations, and pooled stacks, each with a guard page.
    pub const POOLED: Self = Cost {
        memory: 3,
        stack: 2,
    };
    /// Memories with reservations. Stacks have none, see `guest/stacks.rs`.
    pub const RESERVED: Self = Cost {
        memory: 3,
        stack: 0,
    };
    /// Neither: the kernel merges adjacent mappings.
    pub const MERGED: Self = Cost {
        memory: 0,
        stack: 0,
    };
}

/// A compiled module: its code, and the data before and after it.
pub const CODE: u32 = 3;
