//! What extensions attach to a store: one value of each type, found by its type.

#![cfg(not(loom))]

use pure::slots::{Shared, SharedSlots, Slots};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn slots_hold_one_value_of_each_type() {
    let mut slots = Slots::default();
    assert_eq!(slots.get::<u32>(), None);
    slots.insert::<u32>(1);
    slots.insert::<String>("text".to_string());
    slots.insert::<u32>(2);
    assert_eq!(slots.get::<u32>(), Some(&2));
    *slots.get_mut::<u32>().expect("it was put there") += 1;
    assert_eq!(slots.take::<u32>(), Some(Box::new(3)));
    assert_eq!(slots.take::<u32>(), None);
    assert_eq!(slots.get::<String>().map(String::as_str), Some("text"));
}

/// Counts how often it is told that the store is closed.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Shared for Counter {
    fn close(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Does not care.
#[derive(Default)]
struct Other;

impl Shared for Other {}

#[test]
fn shared_slots_are_made_once_whoever_asks_first() {
    let slots = Arc::new(SharedSlots::default());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let slots = slots.clone();
            std::thread::spawn(move || slots.get_or_default::<Counter>())
        })
        .collect();
    let found: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().expect("no thread panics"))
        .collect();
    assert!(found.iter().all(|counter| Arc::ptr_eq(counter, &found[0])));
    assert!(slots.get::<Other>().is_none());
}

#[test]
fn shared_slots_are_told_when_the_store_is_closed() {
    let slots = SharedSlots::default();
    let counter = slots.get_or_default::<Counter>();
    slots.insert::<Other>(Other);
    slots.close();
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);

    // One that was replaced is nobody's any more.
    slots.insert::<Counter>(Counter::default());
    slots.close();
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    let now = slots.get::<Counter>().expect("it was put there");
    assert_eq!(now.0.load(Ordering::Relaxed), 1);
}
