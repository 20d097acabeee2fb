//! The environment of the NIF running on this thread, for code that is not passed one: used to make terms and to send
//! messages.
//!
//! A poll runs the guest on the NIF's own thread, so a thread-local pointer is enough: no lock, no allocation.

use rustler::sys::{ErlNifEnv, ErlNifTerm};
use rustler::{Env, Term};
use std::cell::Cell;
use std::ptr;
use std::thread::LocalKey;

thread_local! {
    static ENV: Cell<*mut ErlNifEnv> = const { Cell::new(ptr::null_mut()) };
}

/// Sets this thread's environment for as long as it lives.
pub struct EnvScope {
    _scope: Scoped<*mut ErlNifEnv>,
}

impl EnvScope {
    /// Makes `env` the current environment; the previous one is restored when the scope ends.
    pub fn enter(env: *mut ErlNifEnv) -> Self {
        EnvScope {
            _scope: Scoped::enter(&ENV, env),
        }
    }
}

/// Sets a thread-local variable for as long as it lives, which is on this thread: it is not `Send`. To find the variable
/// again would take as long as a short function.
pub struct Scoped<T: Copy> {
    variable: *const Cell<T>,
    before: T,
}

impl<T: Copy> Scoped<T> {
    /// Sets the variable; the previous value is restored when the scope ends.
    pub fn enter(variable: &'static LocalKey<Cell<T>>, value: T) -> Self {
        let variable = variable.with(ptr::from_ref);
        Scoped {
            variable,
            // SAFETY: this thread's.
            before: unsafe { &*variable }.replace(value),
        }
    }
}

impl<T: Copy> Drop for Scoped<T> {
    fn drop(&mut self) {
        // SAFETY: the thread is the same, and runs.
        unsafe { &*self.variable }.set(self.before);
    }
}

/// The environment of the NIF running on this thread; null if there is none.
///
/// Not inlined: a fiber may move to another thread between two calls, so the address of a thread-local must not be
/// kept from one to the next.
#[inline(never)]
pub fn current_env() -> *mut ErlNifEnv {
    ENV.get()
}

/// Makes or reads terms in the current environment; `None` if there is none.
pub fn in_env<R>(f: impl FnOnce(Env) -> R) -> Option<R> {
    let env = current_env();
    if env.is_null() {
        return None;
    }
    let lifetime = ();
    // SAFETY: the environment belongs to the NIF that is running on this thread, and by its lifetime `R` cannot hold a
    // term of it.
    Some(f(unsafe { Env::new(&lifetime, env) }))
}

/// Restores the lifetime of a term that came through a future.
///
/// # Safety
/// `term` must be a term of `env`.
pub unsafe fn term<'a>(env: Env<'a>, term: ErlNifTerm) -> Term<'a> {
    // SAFETY: by this function's own condition.
    unsafe { Term::new(env, term) }
}
