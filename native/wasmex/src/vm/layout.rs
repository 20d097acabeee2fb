//! The VM's memory layout of small integers and lists, for access without a call per element.
//!
//! The VM's own functions cost some nanoseconds per element, and component values can be long lists. The layout is not
//! part of the VM's interface, so it is compared with the interface when the library is loaded (`layouts.rs`). If they
//! differ, or if a test says so, the interface is used. For maps and binaries see `small_map.rs` and `heap_binary.rs`.

use rustler::sys::{
    ErlNifTerm, enif_get_int64, enif_is_empty_list, enif_make_int64, enif_make_list_cell,
    enif_make_list_from_array,
};
use rustler::{Encoder, Env, Term};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the layout of a kind of terms is as expected, and used.
pub struct Layout {
    known: AtomicBool,
    used: AtomicBool,
}

impl Layout {
    /// Not known yet.
    pub const fn new() -> Self {
        Layout {
            known: AtomicBool::new(false),
            used: AtomicBool::new(false),
        }
    }

    /// Used from now on, if it is as expected.
    pub fn set_known(&self, known: bool) {
        self.known.store(known, Ordering::Relaxed);
        self.used.store(known, Ordering::Relaxed);
    }

    /// Whether it is used.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Sets whether it is used from now on, if it is as expected. Returns whether it is.
    pub fn set_used(&self, wanted: bool) -> bool {
        let used = wanted && self.known.load(Ordering::Relaxed);
        self.used.store(used, Ordering::Relaxed);
        used
    }
}

/// Of small integers and lists.
pub static LAYOUT: Layout = Layout::new();

/// The low bits of a small integer; the others are its value.
const SMALL: usize = 0b1111;
const SMALL_BITS: u32 = 4;
/// The low bits of a non-empty list; the others are the address of its cell.
const CELL: usize = 0b01;
const CELL_MASK: usize = 0b11;

/// A term as a word.
#[inline]
pub fn word(term: ErlNifTerm) -> usize {
    // SAFETY: a term is a word.
    unsafe { std::mem::transmute::<ErlNifTerm, usize>(term) }
}

/// A word as a term.
#[inline]
pub fn term(word: usize) -> ErlNifTerm {
    // SAFETY: as above.
    unsafe { std::mem::transmute::<usize, ErlNifTerm>(word) }
}

/// Compares the layout with the VM's interface.
pub fn matches(env: Env) -> bool {
    integers_match(env) && lists_match(env)
}

fn integers_match(env: Env) -> bool {
    let wide = [0, 1, 2, 15, 16, 255, 65_535, 1 << 31, 1 << 32, 1 << 58];
    let all_small = wide.iter().all(|n| is_small(env, *n) && is_small(env, -*n));
    let most = (1_i64 << 59) - 1;
    // One more is no longer a small integer; neither is any other term.
    let others = [
        (most + 1).encode(env),
        rustler::Encoder::encode(&i64::MIN, env),
        rustler::Encoder::encode(&u64::MAX, env),
        rustler::Encoder::encode(&1.0_f64, env),
        rustler::Encoder::encode(&true, env),
        rustler::Encoder::encode(&(1, 2), env),
        Term::list_new_empty(env),
        Term::map_new(env),
    ];
    all_small
        && is_small(env, most)
        && is_small(env, -most - 1)
        && others
            .iter()
            .all(|term| word(term.as_c_arg()) & SMALL != SMALL)
}

fn is_small(env: Env, n: i64) -> bool {
    let made = (n << SMALL_BITS) as usize | SMALL;
    let mut read = 0;
    // SAFETY: an integer of this environment, made by the interface.
    unsafe {
        let theirs = enif_make_int64(env.as_c_arg(), n);
        word(theirs) == made && enif_get_int64(env.as_c_arg(), theirs, &mut read) != 0 && read == n
    }
}

fn lists_match(env: Env) -> bool {
    let terms: Vec<ErlNifTerm> = (0..5)
        .map(|n: i64| rustler::Encoder::encode(&n, env).as_c_arg())
        .collect();
    // SAFETY: terms of this environment.
    let (list, longer) = unsafe {
        let list = enif_make_list_from_array(env.as_c_arg(), terms.as_ptr(), 5);
        (list, enif_make_list_cell(env.as_c_arg(), terms[4], list))
    };
    if word(longer) & CELL_MASK != CELL || word(list) & CELL_MASK != CELL {
        return false;
    }
    // SAFETY: lists have this tag; whether a cell is two words at the address is what this checks.
    let (head, tail) = unsafe { cell(word(longer)) };
    let mut rest = word(list);
    let mut same = head == word(terms[4]) && tail == rest;
    for term in &terms {
        if rest & CELL_MASK != CELL {
            return false;
        }
        // SAFETY: as above.
        let (head, tail) = unsafe { cell(rest) };
        same = same && head == word(*term);
        rest = tail;
    }
    let empty = word(Term::list_new_empty(env).as_c_arg());
    same && rest == empty && empty & CELL_MASK != CELL
}

/// # Safety
/// The word must be a non-empty list, and the layout must be as expected.
unsafe fn cell(list: usize) -> (usize, usize) {
    let cell = (list - CELL) as *const usize;
    // SAFETY: the caller's condition.
    unsafe { (*cell, *cell.add(1)) }
}

/// Whether the layout is used.
pub fn is_used() -> bool {
    LAYOUT.is_used()
}

/// The value of a small integer, if the layout is used.
#[inline]
pub fn small(of: Term) -> Option<i64> {
    let word = word(of.as_c_arg());
    (word & SMALL == SMALL && is_used()).then_some(word as i64 >> SMALL_BITS)
}

/// The same for a term of any environment, if it is in this range.
#[inline]
pub fn small_in(of: ErlNifTerm, range: RangeInclusive<i64>) -> Option<i64> {
    let value = word(of) as i64 >> SMALL_BITS;
    (word(of) & SMALL == SMALL && is_used() && range.contains(&value)).then_some(value)
}

/// A small integer. Requires [`is_used`]; the value must fit 60 bits, as all up to 32 bits do.
#[inline]
pub fn integer(value: i64) -> ErlNifTerm {
    term((value << SMALL_BITS) as usize | SMALL)
}

/// An integer.
#[inline]
pub fn encode(env: Env, value: i64) -> Term {
    // Small ones have 60 bits.
    if is_used() && value << SMALL_BITS >> SMALL_BITS == value {
        // SAFETY: a small integer is a term of any environment.
        return unsafe { Term::new(env, integer(value)) };
    }
    value.encode(env)
}

/// The head and the tail of a list, unless it is empty. Requires [`is_used`].
#[inline]
pub fn split(list: Term) -> Option<(Term, Term)> {
    let (env, list) = (list.get_env(), word(list.as_c_arg()));
    (list & CELL_MASK == CELL).then(|| {
        // SAFETY: terms of this environment are alive and immutable.
        unsafe {
            let (head, tail) = cell(list);
            (Term::new(env, term(head)), Term::new(env, term(tail)))
        }
    })
}

/// The number of cells of a list if it is less than `most`, otherwise `most`. Requires [`is_used`].
pub fn length_up_to(list: Term, most: usize) -> usize {
    let (mut rest, mut length) = (word(list.as_c_arg()), 0);
    while length < most && rest & CELL_MASK == CELL {
        // SAFETY: terms of this environment are alive and immutable.
        rest = unsafe { cell(rest) }.1;
        length += 1;
    }
    length
}

/// The elements of a list, up to the first that is not a small integer in a range.
pub struct Integers<'a> {
    env: Env<'a>,
    /// What is left of the list.
    rest: usize,
    range: RangeInclusive<i64>,
}

impl<'a> Integers<'a> {
    /// Of this list; `None` if the layout is not used.
    pub fn of(list: Term<'a>, range: RangeInclusive<i64>) -> Option<Self> {
        is_used().then(|| Integers {
            env: list.get_env(),
            rest: word(list.as_c_arg()),
            range,
        })
    }

    /// Whether the whole list was read, and is a proper one.
    pub fn is_at_end(&self) -> bool {
        // SAFETY: a term of this environment.
        unsafe { enif_is_empty_list(self.env.as_c_arg(), term(self.rest)) != 0 }
    }
}

impl Iterator for Integers<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        if self.rest & CELL_MASK != CELL {
            return None;
        }
        // SAFETY: terms of this environment are alive and immutable.
        let (head, tail) = unsafe { cell(self.rest) };
        let value = head as i64 >> SMALL_BITS;
        if head & SMALL != SMALL || !self.range.contains(&value) {
            return None;
        }
        self.rest = tail;
        Some(value)
    }
}
