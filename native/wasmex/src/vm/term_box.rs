//! Keeps one Erlang term outside any process, for as long as Rust needs it.

use crate::vm::layout;
use rustler::sys::{
    ErlNifBinary, ErlNifEnv, ErlNifTerm, enif_alloc_env, enif_free_env, enif_inspect_binary,
    enif_is_identical, enif_make_copy,
};
use rustler::{Env, LocalPid, OwnedEnv, Term};
use std::ptr;

/// A term in an environment of its own, about a kilobyte, unless it is a single word: this is the same in every
/// environment. Reading copies it into the reader's environment.
pub struct TermBox {
    /// Null for a single word.
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
}

// SAFETY: the environment is never written after `new`, terms are immutable, and copying out of a process-independent
// environment needs no lock.
unsafe impl Send for TermBox {}
// SAFETY: as above.
unsafe impl Sync for TermBox {}

impl TermBox {
    /// A copy of the term.
    pub fn new(term: Term) -> Self {
        if is_word(term) {
            return TermBox {
                env: ptr::null_mut(),
                term: term.as_c_arg(),
            };
        }
        // SAFETY: a new environment, owned by this value and freed once in `drop`.
        unsafe {
            let env = enif_alloc_env();
            TermBox {
                env,
                term: enif_make_copy(env, term.as_c_arg()),
            }
        }
    }

    /// Another copy of the term, in its own environment.
    pub fn copy(other: &TermBox) -> Self {
        if other.is_word() {
            return TermBox { ..*other };
        }
        // SAFETY: as in `new`.
        unsafe {
            let env = enif_alloc_env();
            TermBox {
                env,
                term: enif_make_copy(env, other.term),
            }
        }
    }

    /// Whether it takes no environment.
    pub fn is_word(&self) -> bool {
        self.env.is_null()
    }

    /// Whether it equals this term.
    pub fn is(&self, term: Term) -> bool {
        // SAFETY: both terms are alive and only compared.
        unsafe { enif_is_identical(self.term, term.as_c_arg()) != 0 }
    }

    /// The bytes of a binary, which are not moved as long as the box lives.
    pub fn bytes(&self) -> &[u8] {
        if self.is_word() {
            return &[];
        }
        // SAFETY: the term lives in `env`, and nothing there is moved or freed before `drop`.
        unsafe {
            let mut binary = std::mem::MaybeUninit::<ErlNifBinary>::uninit();
            match enif_inspect_binary(self.env, self.term, binary.as_mut_ptr()) {
                0 => &[],
                _ => {
                    let binary = binary.assume_init();
                    match binary.size {
                        0 => &[],
                        size => std::slice::from_raw_parts(binary.data, size),
                    }
                }
            }
        }
    }

    /// Reads the term in place and consumes the box, since reading may modify its environment.
    pub fn read<T>(self, read: impl for<'a> FnOnce(Term<'a>) -> T) -> T {
        if self.is_word() {
            return OwnedEnv::new().run(|env| read(self.get(env)));
        }
        let lifetime = ();
        // SAFETY: the term lives in `env`, which is not shared and is freed after this call; the lifetime in the bound
        // keeps the term from escaping `read`.
        unsafe {
            let env = Env::new(&lifetime, self.env);
            read(Term::new(env, self.term))
        }
    }

    /// A copy of the term in this environment.
    pub fn get<'a>(&self, env: Env<'a>) -> Term<'a> {
        if self.is_word() {
            // SAFETY: a term of every environment.
            return unsafe { Term::new(env, self.term) };
        }
        // SAFETY: `enif_make_copy` returns a term that lives in `env`.
        unsafe { Term::new(env, enif_make_copy(env.as_c_arg(), self.term)) }
    }
}

impl Drop for TermBox {
    fn drop(&mut self) {
        if !self.is_word() {
            // SAFETY: allocated in `new`, freed only here.
            unsafe { enif_free_env(self.env) }
        }
    }
}

/// Whether a term is a single word: an atom, a process of this node, or a small integer as far as the VM's layout is
/// known.
fn is_word(term: Term) -> bool {
    term.is_atom() || layout::small(term).is_some() || term.decode::<LocalPid>().is_ok()
}
