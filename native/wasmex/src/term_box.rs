//! Keeps one Erlang term outside any process, for as long as Rust needs it.

use rustler::sys::{ErlNifEnv, ErlNifTerm, enif_alloc_env, enif_free_env, enif_make_copy};
use rustler::{Env, Term};

/// A term in an environment of its own. Reading copies it into the reader's environment.
pub struct TermBox {
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
}

// SAFETY: the environment is never written after `new`, terms are immutable, and copying out of a
// process independent environment takes no lock and needs none.
unsafe impl Send for TermBox {}
// SAFETY: as above.
unsafe impl Sync for TermBox {}

impl TermBox {
    pub fn new(term: Term) -> Self {
        // SAFETY: a fresh environment, owned by this value and freed once in `drop`.
        unsafe {
            let env = enif_alloc_env();
            TermBox {
                env,
                term: enif_make_copy(env, term.as_c_arg()),
            }
        }
    }

    /// The same term once more, in an environment of its own.
    pub fn copy(other: &TermBox) -> Self {
        // SAFETY: as in `new`.
        unsafe {
            let env = enif_alloc_env();
            TermBox {
                env,
                term: enif_make_copy(env, other.term),
            }
        }
    }

    pub fn get<'a>(&self, env: Env<'a>) -> Term<'a> {
        // SAFETY: `enif_make_copy` returns a term that lives in `env`.
        unsafe { Term::new(env, enif_make_copy(env.as_c_arg(), self.term)) }
    }
}

impl Drop for TermBox {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, freed only here.
        unsafe { enif_free_env(self.env) }
    }
}
