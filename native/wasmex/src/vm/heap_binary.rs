//! The VM's memory layout of short binaries: a header, the size, and the bytes, in whole words.
//!
//! The names of a record's fields are compared with a map's keys in each call. Reading them in place takes a few
//! instructions, where the VM's functions take a hundred. See `layout.rs`.

use crate::vm::layout::{Layout, term, word};
use crate::vm::terms;
use rustler::sys::{ErlNifTerm, enif_make_sub_binary, enif_make_tuple_from_array};
use rustler::{Encoder, Env, Term};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether it is as expected.
pub static LAYOUT: Layout = Layout::new();

/// The low bits of terms with a header, which is at the address in the others.
const BOXED: usize = 0b10;
const TAGS: usize = 0b11;
/// The low bits of a header; the others are the number of words after it.
const HEADER_BITS: u32 = 6;
const HEADER_MASK: usize = (1 << HEADER_BITS) - 1;
/// The longest short binary.
pub const LONGEST: usize = 64;
const WORD: usize = size_of::<usize>();

/// The low bits of a short binary's header, which differ between versions of the VM.
static SHORT: AtomicUsize = AtomicUsize::new(0);
/// By how many bits the size is shifted: newer VMs count bits.
static SHIFT: AtomicUsize = AtomicUsize::new(0);

/// The address of a term with a header.
#[inline]
pub fn address(term: usize) -> Option<*const usize> {
    (term & TAGS == BOXED).then_some((term.wrapping_sub(BOXED)) as *const usize)
}

/// A term with a header at this address.
#[inline]
pub fn at(address: *const usize) -> ErlNifTerm {
    term(address as usize | BOXED)
}

/// The bytes of a name, to be compared with binaries word by word.
pub struct Spelling {
    /// As a short binary: the header, the size, and the bytes.
    words: Box<[usize]>,
    /// The bits of the last word that are part of the name; the VM leaves the others as they were.
    last: usize,
}

impl Spelling {
    /// Of a name. The layout must have been checked.
    pub fn new(text: &str) -> Self {
        let bytes = words_with(text.as_bytes());
        let unused = (bytes.len() * WORD - text.len()) as u32 * 8;
        let size = text.len() << SHIFT.load(Ordering::Relaxed);
        Spelling {
            words: [header(bytes.len()), size]
                .into_iter()
                .chain(bytes)
                .collect(),
            last: usize::MAX.checked_shr(unused).unwrap_or(0),
        }
    }

    /// The name as a term. `None` if it is made in another way.
    pub fn make<'a>(&self, env: Env<'a>) -> Option<Term<'a>> {
        let is_short = self.words.len() <= 2 + LONGEST / WORD;
        // SAFETY: a short binary of this environment, as its layout is.
        (is_short && LAYOUT.is_used())
            .then(|| unsafe { Term::new(env, at(allocate(env, &self.words))) })
    }

    /// Whether a term is a binary with these bytes; `None` if that is to be found in another way.
    #[inline]
    pub fn is(&self, of: ErlNifTerm) -> Option<bool> {
        if !LAYOUT.is_used() {
            return None;
        }
        let at = address(word(of))?;
        // SAFETY: a term with a header; a short binary has its size and as many words as the header says.
        unsafe {
            let [header, size, bytes @ ..] = &*self.words else {
                return None;
            };
            if *at != *header {
                return is_short(*at).then_some(false);
            }
            if *at.add(1) != *size {
                return Some(false);
            }
            let Some((last, others)) = bytes.split_last() else {
                return Some(true);
            };
            let found = at.add(2);
            let mut same = (*found.add(others.len()) ^ last) & self.last == 0;
            for (index, word) in others.iter().enumerate() {
                same = same && *found.add(index) == *word;
            }
            Some(same)
        }
    }
}

/// A binary with a copy of these bytes.
#[inline]
pub fn make<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    if bytes.len() > LONGEST || !LAYOUT.is_used() {
        return terms::binary(env, bytes);
    }
    let mut words = [0_usize; 2 + LONGEST / WORD];
    let count = bytes.len().div_ceil(WORD);
    words[0] = header(count);
    words[1] = bytes.len() << SHIFT.load(Ordering::Relaxed);
    // SAFETY: room for the longest short binary; bytes need no alignment.
    unsafe {
        let room = words[2..].as_mut_ptr().cast::<u8>();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len());
        Term::new(env, at(allocate(env, &words[..2 + count])))
    }
}

/// Copies these words, the first of which is a header, to an environment's heap.
///
/// The VM only has this function for making terms of any length without looking at their contents. It collects no
/// garbage while a NIF runs, so the header can be written after it.
#[inline]
pub fn allocate(env: Env, words: &[usize]) -> *mut usize {
    let count = (words.len() - 1) as u32;
    // SAFETY: words of the stated number, copied behind the new tuple's header.
    unsafe {
        let tuple = enif_make_tuple_from_array(env.as_c_arg(), words[1..].as_ptr().cast(), count);
        let copy = address(word(tuple)).unwrap_or(std::ptr::null()).cast_mut();
        *copy = words[0];
        copy
    }
}

fn words_with(bytes: &[u8]) -> Vec<usize> {
    let chunks = bytes.chunks(WORD).map(|chunk| {
        let mut word = [0; WORD];
        word[..chunk.len()].copy_from_slice(chunk);
        usize::from_le_bytes(word)
    });
    chunks.collect()
}

fn header(words: usize) -> usize {
    (words + 1) << HEADER_BITS | SHORT.load(Ordering::Relaxed)
}

fn is_short(header: usize) -> bool {
    header & HEADER_MASK == SHORT.load(Ordering::Relaxed)
}

/// The words of a short binary; `None` for other terms.
pub fn words<'a>(binary: Term<'a>) -> Option<&'a [usize]> {
    let at = address(word(binary.as_c_arg()))?;
    // SAFETY: a term of this environment, and as many words as its header says.
    unsafe { is_short(*at).then(|| std::slice::from_raw_parts(at, (*at >> HEADER_BITS) + 1)) }
}

/// Compares the layout with the VM's interface.
pub fn matches(env: Env) -> bool {
    let bytes: Vec<u8> = (1..=LONGEST as u8 + 1).collect();
    let Some(at) = address(word(terms::binary(env, &bytes[..1]).as_c_arg())) else {
        return false;
    };
    // SAFETY: a binary has a header.
    SHORT.store(unsafe { *at } & HEADER_MASK, Ordering::Relaxed);
    let shift = match words_of(env, &bytes[..1]).map(|words| words[1]) {
        Some(1) => 0,
        Some(8) => 3,
        _ => return false,
    };
    SHIFT.store(shift, Ordering::Relaxed);
    (0..=LONGEST).all(|length| is_as_expected(env, &bytes[..length], shift))
        && others_differ(env, &bytes)
}

/// The words of a new binary, if its header is that of a short binary with so many bytes.
fn words_of<'a>(env: Env<'a>, bytes: &[u8]) -> Option<&'a [usize]> {
    let binary = terms::binary(env, bytes);
    let at = address(word(binary.as_c_arg()))?;
    // SAFETY: a binary has a header.
    let found = unsafe { *at };
    (found == header(bytes.len().div_ceil(WORD))).then(|| words(binary))?
}

fn is_as_expected(env: Env, bytes: &[u8], shift: usize) -> bool {
    let Some(words) = words_of(env, bytes) else {
        return false;
    };
    let stored = words[2..].iter().flat_map(|word| word.to_le_bytes());
    words[1] == bytes.len() << shift && stored.take(bytes.len()).eq(bytes.iter().copied())
}

/// Whether other terms have another header.
fn others_differ(env: Env, bytes: &[u8]) -> bool {
    let (short, long) = (terms::binary(env, &bytes[..20]), terms::binary(env, bytes));
    // SAFETY: a part of a binary of this environment.
    let parts = [short, long].map(|binary| unsafe {
        let part = enif_make_sub_binary(env.as_c_arg(), binary.as_c_arg(), 2, 18);
        Term::new(env, part)
    });
    // A newer VM may copy short parts.
    let copy = words_of(env, &bytes[2..20]).and_then(|words| words.get(..4));
    let is_right = |part| words(part).is_none_or(|words| words.get(..4) == copy);
    let others = [
        long,
        (1, 2).encode(env),
        1.5_f64.encode(env),
        u64::MAX.encode(env),
        i64::MIN.encode(env),
        *env.make_ref(),
        Term::map_new(env),
    ];
    parts.into_iter().all(is_right) && others.into_iter().all(|other| words(other).is_none())
}
