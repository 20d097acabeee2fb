//! Under miri, and as they are.

#![cfg(not(loom))]

use bytes::Bytes;
use pure::budget::Budget;
use pure::byte_queue::ByteQueue;
use std::collections::VecDeque;

/// xorshift: the same numbers every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// The queue gives back what it was given, in order, whatever the sizes of writes and reads.
#[test]
fn a_byte_queue_is_a_queue_of_bytes() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut queue = ByteQueue::default();
    let mut model = VecDeque::new();
    let mut next = 0u8;
    for _ in 0..60 {
        match random.below(4) {
            0 => {
                // Around the size from which on segments are passed whole.
                let size = [0, 1, 100, 4095, 4096, 5000][random.below(6)];
                let bytes: Vec<u8> = (0..size).map(|n| next.wrapping_add(n as u8)).collect();
                next = next.wrapping_add(size as u8);
                model.extend(&bytes);
                queue.push(Bytes::from(bytes));
            }
            1 => {
                let limit = 1 + random.below(6000);
                let bytes = queue.pop(limit);
                assert!(bytes.len() <= limit && (!bytes.is_empty() || model.is_empty()));
                assert!(bytes.iter().copied().eq(model.drain(..bytes.len())));
            }
            _ => {
                let mut target = vec![0; random.below(3000).min(model.len())];
                queue.fill(&mut target);
                assert!(target.iter().copied().eq(model.drain(..target.len())));
            }
        }
        assert_eq!(queue.len(), model.len());
        assert_eq!(queue.is_empty(), model.is_empty());
    }
}

/// What was popped stays as it is while its segment is read on from another thread.
#[test]
fn popped_bytes_are_their_own() {
    let mut queue = ByteQueue::default();
    for n in 0..20u8 {
        queue.push(Bytes::from(vec![n; 1000]));
    }
    let readers: Vec<_> = (0..40)
        .map(|_| queue.pop(500))
        .map(|bytes| std::thread::spawn(move || bytes.iter().map(|&b| u64::from(b)).sum::<u64>()))
        .collect();
    queue.push(Bytes::from_static(b"later"));
    let sum: u64 = readers
        .into_iter()
        .map(|reader| reader.join().expect("reader"))
        .sum();
    assert_eq!(sum, 1000 * 190);
}

#[test]
fn a_budget_is_never_overdrawn() {
    let budget = Budget::new(10);
    budget.take(7);
    assert_eq!(budget.left(), 3);
    budget.take(7);
    assert_eq!(budget.left(), 0);
    budget.take(1);
    assert_eq!(budget.left(), 0);
    assert_eq!(budget.spent().limit, 10);
    assert!(budget.spent().to_string().contains("10 bytes"));
}
