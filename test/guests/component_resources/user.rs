//! What the guest does with the host's resources.

use std::cell::RefCell;

use crate::Resources;
use crate::exports::test::resources::user::Guest;
use crate::test::resources::hosted::{self, Bucket};

thread_local! {
    static KEPT: RefCell<Vec<Bucket>> = const { RefCell::new(Vec::new()) };
}

impl Guest for Resources {
    fn round_trip(name: String, key: String, value: Vec<u8>) -> Option<Vec<u8>> {
        let bucket = Bucket::new(&name);
        bucket.put(&key, &value);
        bucket.get(&key)
    }

    fn open(name: String) -> Result<Bucket, String> {
        Bucket::open(&name)
    }

    fn find(name: String) -> Option<Bucket> {
        hosted::find(&name)
    }

    fn copy(key: String, value: Vec<u8>) -> u32 {
        let source = Bucket::new("source");
        let target = Bucket::new("target");
        source.put(&key, &value);
        hosted::copy(&source, &target)
    }

    fn batch(names: Vec<String>) -> (Vec<String>, u32) {
        let buckets = hosted::open_all(&names);
        let names = hosted::names(&buckets.iter().collect::<Vec<_>>());
        (names, hosted::close_all(buckets))
    }

    fn name_of(item: &Bucket) -> String {
        item.name()
    }

    fn fill(item: &Bucket, key: String, value: Vec<u8>) {
        item.put(&key, &value);
    }

    fn names_of(one: &Bucket, other: Option<&Bucket>) -> Vec<String> {
        [Some(one), other]
            .into_iter()
            .flatten()
            .map(Bucket::name)
            .collect()
    }

    fn copy_between(source: &Bucket, target: &Bucket) -> u32 {
        hosted::copy(source, target)
    }

    fn swallow(item: Bucket) -> String {
        item.name()
    }

    fn hand_over(item: Bucket) -> String {
        hosted::close(item)
    }

    fn echo(item: Bucket) -> Bucket {
        item
    }

    fn echo_list(items: Vec<Bucket>) -> Vec<Bucket> {
        items
    }

    fn keep(item: Bucket) {
        KEPT.with_borrow_mut(|kept| kept.push(item));
    }

    fn kept() -> Vec<String> {
        KEPT.with_borrow(|kept| kept.iter().map(Bucket::name).collect())
    }

    fn take_back() -> Option<Bucket> {
        KEPT.with_borrow_mut(Vec::pop)
    }

    fn drop_kept() -> u32 {
        KEPT.take().len() as u32
    }
}
