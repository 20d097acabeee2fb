//! The VM's memory layout of maps with up to 32 keys: a header, the number of keys, a tuple of the keys, the values.
//!
//! Maps made from records of one type share the tuple, as maps made in one place of a program do, so that their keys
//! are neither compared nor copied. The first tuple is made by the VM, which sorts it. See `layout.rs`.

use crate::vm::heap_binary::{self, address, allocate, at};
use crate::vm::layout::{Layout, word};
use rustler::sys::{
    ErlNifHash, ErlNifTerm, enif_compare, enif_get_map_value, enif_hash, enif_make_int64,
    enif_make_map_from_arrays, enif_make_tuple_from_array,
};
use rustler::{Encoder, Env, Term};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether it is as expected.
pub static LAYOUT: Layout = Layout::new();

/// The most keys.
pub const MOST: usize = 32;

/// The header of a small map.
static HEADER: AtomicUsize = AtomicUsize::new(0);

/// The words before a map's values.
const BEFORE: usize = 3;

/// A small map, in place.
#[derive(Clone, Copy)]
pub struct SmallMap<'a> {
    /// The keys, in the VM's order.
    pub keys: &'a [ErlNifTerm],
    /// The values, in the same order.
    pub values: &'a [ErlNifTerm],
}

impl<'a> SmallMap<'a> {
    /// `None` for other terms and for larger maps, or if the layout is not used.
    #[inline]
    pub fn of(map: Term<'a>) -> Option<Self> {
        match LAYOUT.is_used() {
            true => Self::read(map),
            false => None,
        }
    }

    #[inline]
    fn read(map: Term<'a>) -> Option<Self> {
        let at = address(word(map.as_c_arg()))?;
        // SAFETY: a term with a header; terms of this environment are alive and immutable. After the header of a small
        // map are the number of its keys, their tuple, and as many values.
        unsafe {
            if *at != HEADER.load(Ordering::Relaxed) {
                return None;
            }
            let size = *at.add(1);
            let keys = address(*at.add(2))?;
            Some(SmallMap {
                keys: std::slice::from_raw_parts(keys.add(1).cast(), size),
                values: std::slice::from_raw_parts(at.add(BEFORE).cast(), size),
            })
        }
    }
}

/// The keys of maps that are made often: copied into an environment once, then shared by all maps made there.
pub struct Keys {
    /// A tuple of the keys, then those that are binaries, at their offsets from the tuple.
    words: Box<[usize]>,
    /// For each key in the VM's order, its position among the keys given.
    pub order: Box<[u8]>,
}

impl Keys {
    /// Of atoms and short binaries, which must be distinct. `None` if there are none, too many, or other terms.
    pub fn new(env: Env, keys: &[ErlNifTerm]) -> Option<Self> {
        if keys.is_empty() || keys.len() > MOST {
            return None;
        }
        let positions: Vec<ErlNifTerm> = (0..keys.len() as i64).map(|n| integer(env, n)).collect();
        let map = SmallMap::read(by_interface(env, keys, &positions)?)?;
        let order = map.values.iter().map(|position| {
            // SAFETY: a term of this environment.
            unsafe { Term::new(env, *position) }.decode().ok()
        });
        Some(Keys {
            order: order.collect::<Option<_>>()?,
            words: words(env, map.keys)?,
        })
    }

    /// Copies the keys into an environment.
    pub fn copy<'a>(&self, env: Env<'a>) -> SharedKeys<'a> {
        let copy = allocate(env, &self.words);
        let base = copy as usize;
        // SAFETY: just made, of this length, and not seen by the VM yet. The tuple's elements that are not atoms are
        // the offsets of the binaries.
        unsafe {
            for index in 1..=self.order.len() {
                let key = copy.add(index);
                if address(*key).is_some() {
                    *key += base;
                }
            }
        }
        SharedKeys {
            tuple: word(at(copy)),
            env: PhantomData,
        }
    }
}

/// A tuple of these keys, followed by the binaries among them.
fn words(env: Env, keys: &[ErlNifTerm]) -> Option<Box<[usize]>> {
    let tuple = address(word(tuple(env, keys)))?;
    // SAFETY: a tuple, which begins with its header.
    let mut words = vec![unsafe { *tuple }];
    words.resize(keys.len() + 1, 0);
    for (index, key) in keys.iter().enumerate() {
        // SAFETY: a term of this environment.
        let key = unsafe { Term::new(env, *key) };
        words[index + 1] = match key.is_atom() {
            true => word(key.as_c_arg()),
            false => {
                let offset = words.len() * size_of::<usize>();
                words.extend(heap_binary::words(key)?);
                word(at(offset as *const usize))
            }
        };
    }
    Some(words.into())
}

/// Keys in an environment.
#[derive(Clone, Copy)]
pub struct SharedKeys<'a> {
    tuple: usize,
    env: PhantomData<Env<'a>>,
}

impl SharedKeys<'_> {
    /// The words before the values of a map with so many keys.
    fn head(self, count: usize) -> [usize; BEFORE] {
        [HEADER.load(Ordering::Relaxed), count, self.tuple]
    }
}

/// A map to be made from its values.
pub struct Draft<'a> {
    env: Env<'a>,
    words: [usize; BEFORE + MOST],
    used: usize,
}

impl<'a> Draft<'a> {
    /// With so many keys.
    #[inline]
    pub fn new(env: Env<'a>, keys: SharedKeys<'a>, count: usize) -> Self {
        let mut words = [0; BEFORE + MOST];
        words[..BEFORE].copy_from_slice(&keys.head(count));
        Draft {
            env,
            words,
            used: BEFORE,
        }
    }

    /// Adds a value, in the VM's order of the keys.
    #[inline]
    pub fn push(&mut self, value: ErlNifTerm) {
        self.words[self.used] = word(value);
        self.used += 1;
    }

    /// The map. It must have as many values as keys.
    #[inline]
    pub fn make(&self) -> Term<'a> {
        debug_assert_eq!(self.used - BEFORE, self.words[1]);
        // SAFETY: a map of this environment, as its layout is.
        unsafe { Term::new(self.env, at(allocate(self.env, &self.words[..self.used]))) }
    }
}

/// Maps with the same keys. Several are copied to the heap at once.
pub struct Drafts<'a> {
    env: Env<'a>,
    head: [usize; BEFORE],
    /// The words of one map.
    size: usize,
    words: Vec<usize>,
    maps: Vec<ErlNifTerm>,
}

/// The most words that are copied at once, but for one map.
const AT_ONCE: usize = 1024;

impl<'a> Drafts<'a> {
    /// So many maps, each with so many keys.
    pub fn new(env: Env<'a>, keys: SharedKeys<'a>, count: usize, length: usize) -> Self {
        let size = BEFORE + count;
        let at_once = (AT_ONCE / size).clamp(1, length.max(1));
        Drafts {
            env,
            head: keys.head(count),
            size,
            words: Vec::with_capacity(at_once * size),
            maps: Vec::with_capacity(length),
        }
    }

    /// Begins a map, whose values follow. The last one must have as many values as keys.
    #[inline]
    pub fn begin(&mut self) {
        if self.words.len() + self.size > self.words.capacity() {
            self.make();
        }
        self.words.extend_from_slice(&self.head);
    }

    /// Adds a value, in the VM's order of the keys.
    #[inline]
    pub fn push(&mut self, value: ErlNifTerm) {
        self.words.push(word(value));
    }

    fn make(&mut self) {
        if self.words.is_empty() {
            return;
        }
        debug_assert!(self.words.len().is_multiple_of(self.size));
        let copy = allocate(self.env, &self.words).cast_const();
        let starts = (0..self.words.len()).step_by(self.size);
        self.maps
            .extend(starts.map(|start| at(copy.wrapping_add(start))));
        self.words.clear();
    }

    /// The maps.
    pub fn finish(mut self) -> Vec<ErlNifTerm> {
        self.make();
        self.maps
    }
}

/// A map made by the VM's interface; `None` if two keys are the same.
pub fn by_interface<'a>(
    env: Env<'a>,
    keys: &[ErlNifTerm],
    values: &[ErlNifTerm],
) -> Option<Term<'a>> {
    let mut map = MaybeUninit::uninit();
    // SAFETY: two arrays of terms of this environment, of the stated length; `map` is written when the keys differ.
    unsafe {
        let (keys, values, count) = (keys.as_ptr(), values.as_ptr(), keys.len().min(values.len()));
        let made = enif_make_map_from_arrays(env.as_c_arg(), keys, values, count, map.as_mut_ptr());
        (made != 0).then(|| Term::new(env, map.assume_init()))
    }
}

fn integer(env: Env, n: i64) -> ErlNifTerm {
    // SAFETY: always.
    unsafe { enif_make_int64(env.as_c_arg(), n) }
}

fn tuple(env: Env, terms: &[ErlNifTerm]) -> ErlNifTerm {
    // SAFETY: terms of this environment, of the stated number.
    unsafe { enif_make_tuple_from_array(env.as_c_arg(), terms.as_ptr(), terms.len() as u32) }
}

/// Compares the layout with the VM's interface. That of short binaries must have been checked.
pub fn matches(env: Env) -> bool {
    let one = integer(env, 1);
    let header = by_interface(env, &[one], &[one]).and_then(|map| address(word(map.as_c_arg())));
    let Some(header) = header else {
        return false;
    };
    // SAFETY: the header of a term that was just made.
    HEADER.store(unsafe { *header }, Ordering::Relaxed);
    // Maps are made last, see `layouts.rs`.
    (1..=MOST).all(|size| is_read(env, size))
        && others_differ(env)
        && (1..=MOST).all(|size| is_made(env, size))
}

/// Whether a map of the interface is read as it is.
fn is_read(env: Env, size: usize) -> bool {
    let keys: Vec<ErlNifTerm> = (0..size as i64).map(|n| integer(env, n)).collect();
    let values: Vec<ErlNifTerm> = keys.iter().map(|n| tuple(env, &[*n])).collect();
    let map = by_interface(env, &keys, &values);
    map.and_then(SmallMap::read)
        .is_some_and(|map| map.keys == keys && map.values == values)
}

/// Whether two maps that share their keys are those of the interface.
fn is_made(env: Env, size: usize) -> bool {
    let names =
        (1..size).map(|n| "field-of-any-length-".repeat(5)[20 - n % 20..][..2 * n].encode(env));
    let names = names.chain([crate::vm::atoms::ok().encode(env)]);
    let names: Vec<ErlNifTerm> = names.map(|name| name.as_c_arg()).collect();
    let Some(keys) = Keys::new(env, &names) else {
        return false;
    };
    let shared = keys.copy(env);
    let values = |first| (first..).take(size).map(|n| integer(env, n));
    let ordered = |first| {
        let values: Vec<_> = values(first).collect();
        keys.order
            .iter()
            .map(move |field| values[usize::from(*field)])
    };
    let is_right = |made: Term, first| {
        let values: Vec<_> = values(first).collect();
        by_interface(env, &names, &values).is_some_and(|map| is_same(made, map))
            && names
                .iter()
                .zip(&values)
                .all(|(name, value)| has(made, *name, *value))
    };
    let mut one = Draft::new(env, shared, size);
    ordered(0).for_each(|value| one.push(value));
    let mut several = Drafts::new(env, shared, size, 2);
    for first in [1, 1_000] {
        several.begin();
        ordered(first).for_each(|value| several.push(value));
    }
    // SAFETY: maps of this environment.
    let several = several
        .finish()
        .into_iter()
        .map(|map| unsafe { Term::new(env, map) });
    is_right(one.make(), 0)
        && several
            .zip([1, 1_000])
            .all(|(map, first)| is_right(map, first))
}

fn is_same(one: Term, other: Term) -> bool {
    let (a, b) = (one.as_c_arg(), other.as_c_arg());
    let hash = |term| {
        // SAFETY: a term that is alive.
        unsafe { enif_hash(ErlNifHash::ERL_NIF_PHASH2, term, 0) }
    };
    // SAFETY: terms that are alive.
    let is_equal = unsafe { enif_compare(a, b) == 0 && enif_compare(b, a) == 0 };
    is_equal && hash(a) == hash(b) && one.map_size().ok() == other.map_size().ok()
}

fn has(map: Term, key: ErlNifTerm, value: ErlNifTerm) -> bool {
    let mut found = MaybeUninit::uninit();
    // SAFETY: terms of one environment; `found` is written if the key is.
    unsafe {
        let env = map.get_env().as_c_arg();
        enif_get_map_value(env, map.as_c_arg(), key, found.as_mut_ptr()) != 0
            && found.assume_init() == value
    }
}

/// Whether larger maps and other terms have another header.
fn others_differ(env: Env) -> bool {
    let keys: Vec<ErlNifTerm> = (0..=MOST as i64).map(|n| integer(env, n)).collect();
    let large = by_interface(env, &keys, &keys);
    let others = [
        tuple(env, &keys[..1]),
        1.5_f64.encode(env).as_c_arg(),
        u64::MAX.encode(env).as_c_arg(),
        "text".encode(env).as_c_arg(),
        "text".repeat(30).encode(env).as_c_arg(),
        env.make_ref().as_c_arg(),
    ];
    // SAFETY: terms of this environment.
    let are_others = |term: &ErlNifTerm| SmallMap::read(unsafe { Term::new(env, *term) }).is_none();
    large.is_some_and(|map| SmallMap::read(map).is_none()) && others.iter().all(are_others)
}
