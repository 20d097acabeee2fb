//! `vm/recycled.rs`, under miri. On the main thread, whose spare block is never freed: the harness would run this on another, and miri
//! would report a leak.

use pure::recycled::Recycled;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Counts itself, and has this many bytes.
struct Counted<const SIZE: usize>(Rc<Cell<usize>>, [u8; SIZE]);

impl<const SIZE: usize> Counted<SIZE> {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Counted(count.clone(), [SIZE as u8; SIZE])
    }
}

impl<const SIZE: usize> Drop for Counted<SIZE> {
    fn drop(&mut self) {
        assert!(self.1.iter().all(|byte| *byte == SIZE as u8));
        self.0.set(self.0.get() - 1);
    }
}

trait Sum {
    fn sum(&mut self) -> usize;
}

impl<const SIZE: usize> Sum for Counted<SIZE> {
    fn sum(&mut self) -> usize {
        self.1.iter().map(|byte| usize::from(*byte)).sum()
    }
}

#[repr(align(64))]
struct Aligned([u8; 3]);

fn boxed<T>(value: T) -> Recycled<T> {
    Recycled::with(|| value, |pointer| pointer)
}

fn values_of_all_sizes_are_dropped_once() {
    let count = Rc::new(Cell::new(0));
    for _ in 0..3 {
        let mut all: Vec<Recycled<dyn Sum>> = vec![
            Recycled::with(|| Counted::<0>::new(&count), |one| one as *mut dyn Sum),
            Recycled::with(|| Counted::<1>::new(&count), |one| one as *mut dyn Sum),
            Recycled::with(|| Counted::<120>::new(&count), |one| one as *mut dyn Sum),
            Recycled::with(|| Counted::<121>::new(&count), |one| one as *mut dyn Sum),
            Recycled::with(|| Counted::<5000>::new(&count), |one| one as *mut dyn Sum),
        ];
        assert_eq!(count.get(), 5);
        assert_eq!(
            all.iter_mut().map(|one| one.sum()).next_back(),
            Some(5000 * 136)
        );
        all.swap(0, 3);
        drop(all);
        assert_eq!(count.get(), 0);
    }
}

fn memory_is_reused_only_with_its_alignment() {
    let address = |one: &Recycled<[u8; 100]>| std::ptr::from_ref(&**one).addr();
    let first = boxed([1; 100]);
    let place = address(&first);
    drop(first);
    let aligned = boxed(Aligned([7; 3]));
    assert_eq!(std::ptr::from_ref(&*aligned).addr() % 64, 0);
    assert_eq!(aligned.0, [7; 3]);
    let second = boxed([2; 100]);
    assert_eq!(address(&second), place);
    assert_eq!(*second, [2; 100]);
}

/// A value whose destructor boxes another, and panics.
struct Rude;

impl Drop for Rude {
    fn drop(&mut self) {
        drop(boxed([3_u8; 100]));
        panic!("rude");
    }
}

fn a_destructor_may_panic() {
    let rude = boxed(Rude);
    let caught = catch_unwind(AssertUnwindSafe(|| drop(rude)));
    assert!(caught.is_err());
    assert_eq!(*boxed([4_u8; 100]), [4; 100]);
}

fn main() {
    values_of_all_sizes_are_dropped_once();
    memory_is_reused_only_with_its_alignment();
    a_destructor_may_panic();
    println!("recycled: ok");
}
