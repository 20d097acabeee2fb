//! The library's allocator, as the allocator of this test.

#![cfg(not(loom))]

use pure::allocator::Allocator;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::mpsc;
use std::thread;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// xorshift: the same numbers every time.
struct Random(usize);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A block whose bytes are all the same.
struct Block {
    memory: *mut u8,
    layout: Layout,
    byte: u8,
}

// SAFETY: it owns its memory.
unsafe impl Send for Block {}

impl Block {
    fn new(size: usize, align: usize, byte: u8, zeroed: bool) -> Self {
        let layout = Layout::from_size_align(size, align).unwrap();
        // SAFETY: the size is not 0; what is read is as large.
        let memory = unsafe {
            if zeroed {
                let memory = ALLOCATOR.alloc_zeroed(layout);
                assert!(
                    std::slice::from_raw_parts(memory, size)
                        .iter()
                        .all(|byte| *byte == 0)
                );
                memory
            } else {
                ALLOCATOR.alloc(layout)
            }
        };
        assert_eq!(memory.addr() % align, 0);
        // SAFETY: a new block of this size.
        unsafe { memory.write_bytes(byte, size) };
        Block {
            memory,
            layout,
            byte,
        }
    }

    fn check(&self, size: usize) {
        // SAFETY: alive, and at least as large.
        let bytes = unsafe { std::slice::from_raw_parts(self.memory, size) };
        assert!(bytes.iter().all(|byte| *byte == self.byte));
    }

    fn resize(&mut self, size: usize) {
        let before = self.layout.size();
        // SAFETY: its own layout, and the new size is not 0.
        self.memory = unsafe { ALLOCATOR.realloc(self.memory, self.layout, size) };
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
        self.check(before.min(size));
        // SAFETY: alive, and of this size.
        unsafe { self.memory.write_bytes(self.byte, size) };
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.check(self.layout.size());
        // SAFETY: its own layout, once.
        unsafe { ALLOCATOR.dealloc(self.memory, self.layout) };
    }
}

const SIZES: [usize; 14] = [
    1, 15, 16, 17, 100, 511, 512, 513, 576, 577, 1500, 4095, 4096, 4097,
];

/// Keeps some blocks, and sends others to another thread.
fn work(seed: usize, others: mpsc::Sender<Block>) {
    let mut random = Random(seed);
    let mut blocks = Vec::new();
    for step in 0..60 {
        let size = SIZES[random.below(SIZES.len())];
        match random.below(5) {
            0 | 1 => {
                let align = [1, 8, 16, 32, 64][random.below(5)];
                blocks.push(Block::new(size, align, step as u8, random.below(2) == 0));
            }
            2 if !blocks.is_empty() => {
                let index = random.below(blocks.len());
                blocks[index].resize(size);
            }
            3 if !blocks.is_empty() => drop(blocks.swap_remove(random.below(blocks.len()))),
            4 if !blocks.is_empty() => {
                let _ = others.send(blocks.swap_remove(random.below(blocks.len())));
            }
            _ => {}
        }
    }
}

/// Blocks keep their contents, whichever thread frees them, and a thread's end frees what it kept (miri tells of leaks).
#[test]
fn blocks_are_nobody_elses() {
    let (give, take) = mpsc::channel();
    let threads: Vec<_> = (1..4)
        .map(|seed| {
            let give = give.clone();
            thread::spawn(move || work(seed * 0x9E37_79B9, give))
        })
        .collect();
    drop(give);
    take.into_iter().for_each(drop);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The memory of a freed block is used again by the next one of about its size, and only by it.
#[test]
fn a_thread_keeps_what_it_frees() {
    thread::spawn(|| {
        let first = Block::new(1500, 8, 1, false);
        let address = first.memory.addr();
        drop(first);
        let again = Block::new(1490, 8, 2, false);
        let other = Block::new(1500, 8, 3, false);
        assert_eq!(again.memory.addr(), address);
        assert_ne!(other.memory.addr(), address);
    })
    .join()
    .unwrap();
}

/// Only so many: dropping very many blocks at once returns them to the system.
#[test]
fn few_are_kept() {
    let sizes = [24_usize, 300, 2000];
    thread::spawn(move || {
        for size in sizes {
            let blocks: Vec<_> = (0..200).map(|_| Block::new(size, 8, 7, false)).collect();
            drop(blocks);
        }
    })
    .join()
    .unwrap();
}
