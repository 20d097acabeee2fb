//! Terms of Elixir that guests hold as an `externref`.
//!
//! A copy of a large one is made on a dirty scheduler, both ways. On the way in, the NIF that brings it moves there, see
//! [`is_large`]. On the way out, the NIF returns a placeholder in its place, and [`finish`] moves to a dirty scheduler
//! that replaces it.

use crate::guest::held::{Charge, Held};
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::error::{Error, Result};
use crate::vm::fast_nif;
use crate::vm::resource::{ResourceArc, named_resource};
use crate::vm::term_box::TermBox;
use crate::vm::weight;
use rustler::sys::{ErlNifEnv, ErlNifTerm};
use rustler::types::tuple::{get_tuple, make_tuple};
use rustler::{Encoder, Env, ListIterator, MapIterator, NifResult, Term, TermType};
use std::cell::Cell;
use std::ffi::c_int;
use std::sync::{Arc, OnceLock};

/// Words of the largest term, 512 MiB. Terms share parts, which a copy does not: some have a small size in their
/// process and are larger than any memory when they are copied.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Bytes of a word.
const WORD: u64 = 8;

/// What a term takes besides its words: this, the reference of the guest, and their blocks.
const REFERENCE: u64 = 192;

/// The same of one with an environment.
const ENVIRONMENT: u64 = 2_816;

/// A term held by guests.
#[derive(Clone)]
pub struct HostTerm(Arc<Kept>);

struct Kept {
    term: TermBox,
    /// Its size in words; `None` if it is large or unknown.
    words: Option<u64>,
    /// What it takes in all, in bytes, as far as that can be known.
    bytes: u64,
    charge: OnceLock<Charge>,
}

/// Stands for a term that the running NIF does not copy. It never gets to Elixir.
pub struct Withheld(HostTerm);

named_resource!(Withheld, "term");
impl std::panic::RefUnwindSafe for Withheld {}

thread_local! {
    /// Words that the running NIF may still copy.
    static LEFT: Cell<u64> = const { Cell::new(weight::MOST) };
    static IS_WITHHELD: Cell<bool> = const { Cell::new(false) };
    static IS_REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a NIF with this argument must move to a dirty scheduler, see [`dirty::again`].
pub fn is_large(term: Term) -> bool {
    !weight::is_small(term) && dirty::is_normal()
}

/// The same with another limit in words, which `u64::MAX` turns off. `copied` says whether the bytes of binaries are
/// copied.
pub fn is_larger(term: Term, most: u64, copied: bool) -> bool {
    let weight = if copied {
        weight::of_copied
    } else {
        weight::of
    };
    most < u64::MAX && weight(term, most).is_none() && dirty::is_normal()
}

/// The job that begins now refuses large arguments; its NIF asks with [`is_refused`], and moves.
pub fn refuse() {
    IS_REFUSED.set(true);
}

/// Whether the job that this NIF began refused its arguments.
pub fn is_refused() -> bool {
    IS_REFUSED.replace(false)
}

/// Whether the running NIF has left out a term.
pub fn is_withheld() -> bool {
    IS_WITHHELD.get()
}

/// The result of the running NIF contains what an earlier one left out.
pub fn withhold() {
    IS_WITHHELD.set(true);
}

impl HostTerm {
    /// A copy of the term.
    pub fn new(term: Term) -> Result<Self> {
        let small = weight::of_all(term, weight::MOST);
        let Some((size, binaries)) = small.or_else(|| weight::of_all_visible(term, LARGEST)) else {
            let text = "the term has more than 512 MiB, the most that can be given as a reference";
            return Err(Error::text(atoms::limit(), text));
        };
        let term = TermBox::new(term);
        let fixed = if term.is_word() {
            REFERENCE
        } else {
            ENVIRONMENT
        };
        Ok(HostTerm(Arc::new(Kept {
            term,
            words: small.map(|(words, _)| words),
            bytes: (size * WORD + fixed).saturating_add(binaries),
            charge: OnceLock::new(),
        })))
    }

    /// Counts it with the terms of a store; false if it does not fit.
    pub fn fits(&self, held: &Arc<Held>) -> bool {
        match held.charge(self.0.bytes) {
            // It is new, so there is none so far.
            Some(charge) => self.0.charge.set(charge).is_ok(),
            None => false,
        }
    }

    /// The error if it does not.
    pub fn too_many() -> Error {
        let text = "the terms that guests of the store hold as references exceed its `memory_size`";
        Error::text(atoms::limit(), text)
    }

    /// The term in this environment, or what [`finish`] replaces by it. Not inlined: see `vm/env.rs`.
    #[inline(never)]
    pub fn get<'a>(&self, env: Env<'a>) -> Term<'a> {
        if let Some(words) = self.0.words
            && let Some(left) = LEFT.get().checked_sub(words)
        {
            LEFT.set(left);
            return self.0.term.get(env);
        }
        if !dirty::is_normal() {
            return self.0.term.get(env);
        }
        IS_WITHHELD.set(true);
        ResourceArc::new(Withheld(self.clone())).encode(env)
    }
}

/// The result of a NIF that may have read host terms: to be returned at once, as it is.
pub fn finish<'a>(env: Env<'a>, result: Term<'a>) -> Term<'a> {
    LEFT.set(weight::MOST);
    match IS_WITHHELD.replace(false) {
        true => dirty::then(env, c"host_terms", complete, &[result]),
        false => result,
    }
}

unsafe extern "C" fn complete(
    env: *mut ErlNifEnv,
    _arity: c_int,
    args: *const ErlNifTerm,
) -> ErlNifTerm {
    // SAFETY: scheduled by `finish` with one argument.
    unsafe { fast_nif::call::<1>(env, args, |env, [result]| completed(env, result, DEPTH)) }
}

/// How deep values are in the result of a NIF. The types of components may be nested a hundred times.
const DEPTH: usize = 128;

fn completed<'a>(env: Env<'a>, term: Term<'a>, depth: usize) -> NifResult<Term<'a>> {
    match term.get_type() {
        TermType::Ref => Ok(match ResourceArc::<Withheld>::find(term) {
            Some(withheld) => withheld.0.0.term.get(env),
            None => term,
        }),
        TermType::Tuple if depth > 0 => {
            let items = get_tuple(term)?.into_iter();
            let items: NifResult<Vec<Term>> =
                items.map(|item| completed(env, item, depth - 1)).collect();
            Ok(make_tuple(env, &items?))
        }
        TermType::List if depth > 0 && term.list_length().is_ok() => {
            let items = term.decode::<ListIterator>()?;
            let items: NifResult<Vec<Term>> =
                items.map(|item| completed(env, item, depth - 1)).collect();
            Ok(items?.encode(env))
        }
        TermType::Map if depth > 0 => {
            let pairs: NifResult<Vec<(Term, Term)>> = MapIterator::new(term)
                .into_iter()
                .flatten()
                .map(|(key, value)| Ok((key, completed(env, value, depth - 1)?)))
                .collect();
            Term::map_from_pairs(env, &pairs?)
        }
        _ => Ok(term),
    }
}
