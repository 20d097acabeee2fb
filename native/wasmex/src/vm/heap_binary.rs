//! The VM's memory layout of short binaries: a header, the size, and the bytes, in whole words.
//!
//! The names of a record's fields are compared with a map's keys in each call. Reading them in place takes a few
//! instructions, where the VM's functions take a hundred. See `layout.rs`.

use crate::vm::layout::{Layout, term, word};
use crate::vm::terms;
use rustler::sys::{ErlNifTerm, enif_make_sub_binary};
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
    header: usize,
    size: usize,
    words: Box<[usize]>,
    /// The bits of the last word that are part of the name; the VM leaves the others as they were.
    last: usize,
}

impl Spelling {
    /// Of a name. The layout must have been checked.
    pub fn new(text: &str) -> Self {
        let chunks = text.as_bytes().chunks(WORD);
        let words: Box<[usize]> = chunks
            .map(|chunk| {
                let mut word = [0; WORD];
                word[..chunk.len()].copy_from_slice(chunk);
                usize::from_le_bytes(word)
            })
            .collect();
        let unused = (words.len() * WORD - text.len()) as u32 * 8;
        Spelling {
            header: header(words.len()),
            size: text.len() << SHIFT.load(Ordering::Relaxed),
            last: usize::MAX.checked_shr(unused).unwrap_or(0),
            words,
        }
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
            if *at != self.header {
                return is_short(*at).then_some(false);
            }
            let Some((last, others)) = self.words.split_last() else {
                return Some(*at.add(1) == self.size);
            };
            let bytes = at.add(2);
            let same = others
                .iter()
                .enumerate()
                .all(|(index, word)| *bytes.add(index) == *word);
            Some(
                same && *at.add(1) == self.size
                    && (*bytes.add(others.len()) ^ last) & self.last == 0,
            )
        }
    }
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
