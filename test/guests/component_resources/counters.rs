//! Resources of the guest.

use std::cell::{Cell, RefCell};
use std::cmp;
use std::hint;

use crate::Resources;
use crate::exports::test::resources::counters::{
    Counter as Own, CounterBorrow, Ending, Guest, GuestCounter, GuestFragile, Holder, Labelled,
    LabelledBorrow, Ordering,
};

pub struct Counter(Cell<i32>);

pub struct Fragile(Ending);

thread_local! {
    static LIVE: Cell<u32> = const { Cell::new(0) };
    static KEPT: RefCell<Vec<Own>> = const { RefCell::new(Vec::new()) };
}

fn make(start: i32) -> Own {
    Own::new(Counter::at(start))
}

fn value_of(item: &CounterBorrow<'_>) -> i32 {
    item.get::<Counter>().value()
}

fn consume(item: Own) -> i32 {
    item.get::<Counter>().value()
}

impl Counter {
    fn at(start: i32) -> Self {
        LIVE.set(LIVE.get() + 1);
        Self(Cell::new(start))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
    }
}

impl GuestCounter for Counter {
    fn new(start: i32) -> Self {
        Self::at(start)
    }

    fn increment(&self) -> i32 {
        self.add(1)
    }

    fn add(&self, n: i32) -> i32 {
        self.0.set(self.0.get().wrapping_add(n));
        self.0.get()
    }

    fn value(&self) -> i32 {
        self.0.get()
    }

    fn is_greater(&self, other: CounterBorrow<'_>) -> bool {
        self.value() > value_of(&other)
    }

    fn pour_into(&self, other: Own) -> Own {
        other.get::<Counter>().add(self.0.replace(0));
        other
    }

    fn merge(a: Own, b: Own) -> Own {
        make(consume(a).wrapping_add(consume(b)))
    }

    fn parse(text: String) -> Result<Own, String> {
        match text.parse() {
            Ok(start) => Ok(make(start)),
            Err(_) => Err(format!("not a number: {text}")),
        }
    }

    fn live() -> u32 {
        LIVE.get()
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        match self.0 {
            Ending::Quiet => {}
            Ending::Trap => panic!("the destructor panics"),
            Ending::Spin => loop {
                hint::black_box(0);
            },
        }
    }
}

impl GuestFragile for Fragile {
    fn new(ending: Ending) -> Self {
        Self(ending)
    }

    fn ending(&self) -> Ending {
        self.0
    }
}

impl Guest for Resources {
    type Counter = Counter;
    type Fragile = Fragile;

    fn compare(a: CounterBorrow<'_>, b: CounterBorrow<'_>) -> Ordering {
        match value_of(&a).cmp(&value_of(&b)) {
            cmp::Ordering::Less => Ordering::Less,
            cmp::Ordering::Equal => Ordering::Equal,
            cmp::Ordering::Greater => Ordering::Greater,
        }
    }

    fn value_of(item: CounterBorrow<'_>) -> i32 {
        value_of(&item)
    }

    fn consume(item: Own) -> i32 {
        consume(item)
    }

    fn echo(item: Own) -> Own {
        item
    }

    fn make(start: i32) -> Own {
        make(start)
    }

    fn make_option(start: i32) -> Option<Own> {
        (start >= 0).then(|| make(start))
    }

    fn make_result(start: i32) -> Result<Own, String> {
        Self::make_option(start).ok_or_else(|| format!("{start} is below zero"))
    }

    fn make_list(count: u32) -> Vec<Own> {
        (0..count).map(|start| make(start as i32)).collect()
    }

    fn make_tuple(a: i32, b: i32) -> (Own, Own) {
        (make(a), make(b))
    }

    fn make_record(label: String, start: i32) -> Labelled {
        let item = make(start);
        Labelled { label, item }
    }

    fn make_variant(count: u32) -> Holder {
        match count {
            0 => Holder::Empty,
            1 => Holder::One(make(0)),
            _ => Holder::Many(Self::make_list(count)),
        }
    }

    fn sum_borrowed(items: Vec<CounterBorrow<'_>>) -> i32 {
        items.iter().map(value_of).sum()
    }

    fn sum_owned(items: Vec<Own>) -> i32 {
        items.into_iter().map(consume).sum()
    }

    fn sum_option(item: Option<CounterBorrow<'_>>) -> i32 {
        item.as_ref().map_or(0, value_of)
    }

    fn describe(item: LabelledBorrow<'_>) -> String {
        format!("{}: {}", item.label, value_of(&item.item))
    }

    fn consume_record(item: Labelled) -> String {
        format!("{}: {}", item.label, consume(item.item))
    }

    fn consume_variant(item: Holder) -> i32 {
        match item {
            Holder::Empty => 0,
            Holder::One(item) => consume(item),
            Holder::Many(items) => Self::sum_owned(items),
        }
    }

    fn keep(item: Own) {
        KEPT.with_borrow_mut(|kept| kept.push(item));
    }

    fn take_back() -> Option<Own> {
        KEPT.with_borrow_mut(Vec::pop)
    }
}
