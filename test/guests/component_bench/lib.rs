//! What is measured; without any import of WASI.

use std::cell::Cell;

use exports::test::bench::counters::{self, GuestCounter};
use exports::test::bench::values::{self, Point, Wide};

wit_bindgen::generate!({ world: "bench" });

struct Bench;

export!(Bench);

impl Guest for Bench {
    fn nothing() {}

    fn add(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }

    fn greet(name: String) -> String {
        let mut text = String::with_capacity(name.len() + 8);
        text.push_str("Hello, ");
        text.push_str(&name);
        text.push('!');
        text
    }

    fn import_loop(times: u32) -> u64 {
        (0..times).map(|n| u64::from(tick(n))).sum()
    }

    fn import_text_loop(text: String, times: u32) -> u64 {
        (0..times).map(|_| shout(&text).len() as u64).sum()
    }
}

impl values::Guest for Bench {
    fn echo_wide(value: Wide) -> Wide {
        value
    }

    fn read_wide(value: Wide) -> u32 {
        value.field_twenty
    }

    fn echo_numbers(value: Vec<u32>) -> Vec<u32> {
        value
    }

    fn sum_numbers(value: Vec<u32>) -> u64 {
        value.iter().map(|&n| u64::from(n)).sum()
    }

    fn echo_bytes(value: Vec<u8>) -> Vec<u8> {
        value
    }

    fn count_bytes(value: Vec<u8>) -> u32 {
        value.len() as u32
    }

    fn echo_points(value: Vec<Point>) -> Vec<Point> {
        value
    }

    fn echo_strings(value: Vec<String>) -> Vec<String> {
        value
    }
}

impl counters::Guest for Bench {
    type Counter = Counter;
}

struct Counter(Cell<u32>);

impl GuestCounter for Counter {
    fn new(start: u32) -> Self {
        Self(Cell::new(start))
    }

    fn add(&self, n: u32) -> u32 {
        self.0.set(self.0.get().wrapping_add(n));
        self.0.get()
    }

    fn value(&self) -> u32 {
        self.0.get()
    }
}
