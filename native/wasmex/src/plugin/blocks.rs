//! Which parts of the kernel's memory are handed out: blocks, found by their offset.
//!
//! Blocks are handed out one after the other, so the list is in order of offsets and a block is found by halving it.
//! Freed ones are used again when the memory is full, as the reference does it: what a plug-in freed too early, such as
//! its output, can mostly still be read.

/// Where the first block may begin; what is before belongs to the host.
pub const FIRST: u64 = 64;

/// Blocks begin at multiples of it.
const ALIGNMENT: u64 = 16;

/// More than these are given back to the system when the blocks are forgotten.
const KEPT: usize = 256;

const NONE: u32 = u32::MAX;

/// The memory blocks of a plug-in.
pub struct Blocks {
    blocks: Vec<Block>,
    /// By the power of two that their room is at least, the first one that is free.
    free: [u32; 32],
    /// Where the next block begins.
    next: u64,
    /// What is below was handed out before blocks were last forgotten.
    used_before: u64,
}

struct Block {
    offset: u32,
    room: u32,
    /// 0 when it is free.
    length: u32,
    next_free: u32,
}

/// Where a new block is, or what it takes to have one.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    At(u64),
    /// The memory has to have so many bytes first.
    Grow(u64),
    /// No memory is large enough.
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
    /// A block of `length` bytes, at least one, in a memory of `size` bytes.
    pub fn place(&mut self, length: u64, size: u64) -> Place {
        let Some(room) = length.checked_next_multiple_of(ALIGNMENT) else {
            return Place::Nowhere;
        };
        let Some(end) = self.next.checked_add(room) else {
            return Place::Nowhere;
        };
        if end > size {
            // Of those that are much larger none, which somebody may want whole.
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

    /// Any free block that is large enough, where the memory can't grow.
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

    /// Bytes from the block's start on that an earlier call may have left there.
    pub fn stale(&self, offset: u64, length: u64) -> u64 {
        self.used_before.saturating_sub(offset).min(length)
    }

    /// The length of the block that begins here; 0 where none does.
    pub fn length(&self, offset: u64) -> u64 {
        self.starting(offset)
            .map_or(0, |index| u64::from(self.blocks[index].length))
    }

    /// How many bytes there are from here to the end of the block that this lies in, free or not.
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

    /// Frees the block that begins here; true when one did.
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

    /// Forgets all blocks.
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
        // Most often the last one is asked for.
        let last = self.blocks.len().checked_sub(1)?;
        if self.blocks[last].offset == offset {
            return Some(last);
        }
        self.blocks
            .binary_search_by_key(&offset, |block| block.offset)
            .ok()
    }
}

/// The power of two that is not larger.
fn class_of(room: u64) -> usize {
    (63 - room.max(1).leading_zeros()).min(31) as usize
}
