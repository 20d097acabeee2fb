//! The allocator of the kernel's memory: blocks found by their offset.
//!
//! Blocks are allocated one after the other, so the list is sorted by offset and searched by bisection. Freed blocks
//! are reused only when the memory is full, as in the reference implementation: data that a plug-in frees too early,
//! such as its output, can usually still be read.

/// Offset of the first block; the memory before it belongs to the host.
pub const FIRST: u64 = 64;

/// Alignment of blocks.
const ALIGNMENT: u64 = 16;

/// Above this size, memory is returned to the system on reset.
const KEPT: usize = 256;

const NONE: u32 = u32::MAX;

/// The memory blocks of a plug-in.
pub struct Blocks {
    blocks: Vec<Block>,
    /// For each power of two, the first free block of at least that size.
    free: [u32; 32],
    /// Offset of the next block.
    next: u64,
    /// Memory below this offset was in use before the last reset.
    used_before: u64,
}

struct Block {
    offset: u32,
    room: u32,
    /// 0 when free.
    length: u32,
    next_free: u32,
}

/// The result of an allocation.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    At(u64),
    /// The memory must first grow to this size.
    Grow(u64),
    /// It exceeds any memory.
    Nowhere,
}

impl Default for Blocks {
    fn default() -> Self {
        Blocks {
            blocks: Vec::new(),
            free: [NONE; 32],
            next: FIRST,
            used_before: FIRST,
        }
    }
}

impl Blocks {
    /// Allocates `length` bytes, at least one, in a memory of `size` bytes.
    pub fn place(&mut self, length: u64, size: u64) -> Place {
        let Some(room) = length.checked_next_multiple_of(ALIGNMENT) else {
            return Place::Nowhere;
        };
        let Some(end) = self.next.checked_add(room) else {
            return Place::Nowhere;
        };
        if end > size {
            // Much larger free blocks are kept for large allocations.
            if let Some(offset) = self.reuse(length, room.saturating_mul(4)) {
                return Place::At(offset);
            }
            return match end < 1 << 32 {
                true => Place::Grow(end),
                false => Place::Nowhere,
            };
        }
        let offset = self.next;
        self.next = end;
        self.blocks.push(Block {
            offset: offset as u32,
            room: room as u32,
            length: length as u32,
            next_free: NONE,
        });
        Place::At(offset)
    }

    /// Any free block that is large enough, when the memory cannot grow.
    pub fn place_anywhere(&mut self, length: u64) -> Option<u64> {
        self.reuse(length, u64::MAX)
    }

    fn reuse(&mut self, length: u64, most: u64) -> Option<u64> {
        let class = class_of(length.checked_next_multiple_of(ALIGNMENT)?);
        (class..self.free.len()).find_map(|class| {
            let index = *self.free.get(class)?;
            let block = self.blocks.get_mut(index as usize)?;
            let room = u64::from(block.room);
            if room < length || room > most {
                return None;
            }
            self.free[class] = block.next_free;
            block.length = length as u32;
            Some(u64::from(block.offset))
        })
    }

    /// Number of bytes from the block's start that an earlier call may have written.
    pub fn stale(&self, offset: u64, length: u64) -> u64 {
        self.used_before.saturating_sub(offset).min(length)
    }

    /// The length of the block starting here; 0 if none does.
    pub fn length(&self, offset: u64) -> u64 {
        self.starting(offset)
            .map_or(0, |index| u64::from(self.blocks[index].length))
    }

    /// Number of bytes from here to the end of the block that contains it, free or not.
    pub fn rest(&self, offset: u64) -> u64 {
        let after = self
            .blocks
            .partition_point(|block| u64::from(block.offset) <= offset);
        let Some(block) = after
            .checked_sub(1)
            .and_then(|index| self.blocks.get(index))
        else {
            return 0;
        };
        let length = if block.length == 0 {
            block.room
        } else {
            block.length
        };
        (u64::from(block.offset) + u64::from(length)).saturating_sub(offset)
    }

    /// Frees the block starting here; false if none does.
    pub fn free(&mut self, offset: u64) -> bool {
        let Some(index) = self.starting(offset) else {
            return false;
        };
        let block = &mut self.blocks[index];
        if block.length == 0 {
            return false;
        }
        let class = class_of(u64::from(block.room));
        block.length = 0;
        block.next_free = self.free[class];
        self.free[class] = index as u32;
        true
    }

    /// Frees all blocks.
    pub fn reset(&mut self) {
        self.used_before = self.used_before.max(self.next);
        self.next = FIRST;
        self.free = [NONE; 32];
        if self.blocks.capacity() > KEPT {
            self.blocks = Vec::new();
        } else {
            self.blocks.clear();
        }
    }

    fn starting(&self, offset: u64) -> Option<usize> {
        let offset = u32::try_from(offset).ok()?;
        // Usually the last one is requested.
        let last = self.blocks.len().checked_sub(1)?;
        if self.blocks[last].offset == offset {
            return Some(last);
        }
        self.blocks
            .binary_search_by_key(&offset, |block| block.offset)
            .ok()
    }
}

/// The largest power of two that is not larger.
fn class_of(room: u64) -> usize {
    (63 - room.max(1).leading_zeros()).min(31) as usize
}
