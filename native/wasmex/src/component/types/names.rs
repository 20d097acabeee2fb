//! Names of fields, cases and flags as terms. No atom is ever made from a guest's data.

use crate::component::mapping::Mapping;
use crate::vm::heap_binary::Spelling;
use rustler::sys::{ErlNifCharEncoding, ErlNifTerm, enif_make_existing_atom_len};
use rustler::{Encoder, Env, Term};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// A name in WIT spelling, with its atoms.
pub struct Name {
    /// As WIT spells it.
    pub text: Box<str>,
    /// The same, for comparing it with binaries.
    spelling: Spelling,
    /// The atom registered for it by Elixir.
    named: Option<ErlNifTerm>,
    /// The atom with the same spelling, once it was found to exist; atoms are never removed.
    existing: OnceLock<ErlNifTerm>,
    /// The same for the name with underscores, the Elixir spelling; accepted, never returned.
    snake: OnceLock<ErlNifTerm>,
}

impl Name {
    /// `named` is the atom registered by Elixir.
    pub fn new(text: &str, named: Option<ErlNifTerm>) -> Self {
        Name {
            text: text.into(),
            spelling: Spelling::new(text),
            named,
            existing: OnceLock::new(),
            snake: OnceLock::new(),
        }
    }

    /// Its atom, or else a string.
    pub fn encode<'a>(&self, env: Env<'a>, mapping: Mapping) -> Term<'a> {
        self.atom(env, mapping).unwrap_or_else(|| self.string(env))
    }

    /// It as a string.
    pub fn string<'a>(&self, env: Env<'a>) -> Term<'a> {
        let short = self.spelling.make(env);
        short.unwrap_or_else(|| (*self.text).encode(env))
    }

    /// The atom it is returned as, if any.
    pub fn atom<'a>(&self, env: Env<'a>, mapping: Mapping) -> Option<Term<'a>> {
        let atom = match mapping.existing_atoms {
            true => self.existing(env),
            false => self.named,
        };
        // SAFETY: an atom is an immediate, valid in every environment.
        atom.map(|atom| unsafe { Term::new(env, atom) })
    }

    /// Whether the term is this name: its registered atom, an atom of the same spelling, or its string.
    #[inline]
    pub fn is(&self, term: Term) -> bool {
        let raw = term.as_c_arg();
        match self.spelling.is(raw) {
            Some(is) => is,
            None => self.named == Some(raw) || self.is_spelled(term),
        }
    }

    fn is_spelled(&self, term: Term) -> bool {
        let raw = term.as_c_arg();
        if term.is_atom() {
            let env = term.get_env();
            return self.existing(env) == Some(raw) || self.snake(env) == Some(raw);
        }
        rustler::Binary::from_term(term)
            .is_ok_and(|binary| binary.as_slice() == self.text.as_bytes())
    }

    fn existing(&self, env: Env) -> Option<ErlNifTerm> {
        remembered(&self.existing, || existing_atom(env, &self.text))
    }

    fn snake(&self, env: Env) -> Option<ErlNifTerm> {
        if !self.text.contains('-') {
            return None;
        }
        remembered(&self.snake, || {
            existing_atom(env, &self.text.replace('-', "_"))
        })
    }
}

/// The text of a term that may be a name.
pub fn text(term: Term) -> Option<String> {
    match term.is_atom() {
        true => term.atom_to_string().ok(),
        false => term.decode().ok(),
    }
}

/// Once the atom exists it stays.
fn remembered(
    slot: &OnceLock<ErlNifTerm>,
    find: impl FnOnce() -> Option<ErlNifTerm>,
) -> Option<ErlNifTerm> {
    if let Some(known) = slot.get() {
        return Some(*known);
    }
    let atom = find()?;
    Some(*slot.get_or_init(|| atom))
}

/// The atom with this spelling, if it exists.
fn existing_atom(env: Env, text: &str) -> Option<ErlNifTerm> {
    let mut atom = MaybeUninit::uninit();
    // SAFETY: the pointer and the length describe `text`; `atom` is written when 1 is returned. Names
    // in WIT are ASCII, which is latin1.
    let found = unsafe {
        enif_make_existing_atom_len(
            env.as_c_arg(),
            text.as_ptr().cast(),
            text.len(),
            atom.as_mut_ptr(),
            ErlNifCharEncoding::ERL_NIF_LATIN1,
        )
    };
    // SAFETY: initialised, as the return value says.
    (found != 0).then(|| unsafe { atom.assume_init() })
}
