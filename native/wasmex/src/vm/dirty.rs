//! Moves a NIF to a dirty scheduler when its arguments turn out to need long work.

use crate::vm::atoms;
use rustler::codegen_runtime::inventory;
use rustler::sys::{
    ERL_NIF_DIRTY_JOB_CPU_BOUND, ErlNifEnv, ErlNifTerm, enif_schedule_nif, enif_thread_type,
};
use rustler::{Encoder, Env, Term};
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int};
use std::sync::OnceLock;

/// A NIF as the VM calls it.
pub type Raw = unsafe extern "C" fn(*mut ErlNifEnv, c_int, *const ErlNifTerm) -> ErlNifTerm;

/// `ERL_NIF_THR_NORMAL_SCHEDULER`
const NORMAL: c_int = 1;

/// Whether this thread is a normal scheduler.
pub fn is_normal() -> bool {
    // SAFETY: may be called on any thread.
    unsafe { enif_thread_type() == NORMAL }
}

/// Runs the NIF with this name again, with these arguments, on a dirty scheduler. The caller must return the result at
/// once, as it is: it is not a term.
pub fn again<'a>(env: Env<'a>, name: &'static CStr, args: &[Term<'a>]) -> Term<'a> {
    let arity = c_int::try_from(args.len()).unwrap_or(-1);
    match registered().get(&(name, arity)) {
        Some(raw) => then(env, name, *raw, args),
        None => (atoms::error(), (atoms::broken(), Term::map_new(env))).encode(env),
    }
}

/// Runs a function that is not registered as a NIF in the same way.
pub fn then<'a>(env: Env<'a>, name: &'static CStr, raw: Raw, args: &[Term<'a>]) -> Term<'a> {
    let terms: Vec<ErlNifTerm> = args.iter().map(Term::as_c_arg).collect();
    let count = c_int::try_from(terms.len()).unwrap_or(0);
    // SAFETY: terms of the running NIF's environment, of the stated number; the function takes them.
    unsafe {
        let scheduled = enif_schedule_nif(
            env.as_c_arg(),
            name.as_ptr(),
            ERL_NIF_DIRTY_JOB_CPU_BOUND as c_int,
            raw,
            count,
            terms.as_ptr(),
        );
        Term::new(env, scheduled)
    }
}

type Registered = HashMap<(&'static CStr, c_int), Raw>;

fn registered() -> &'static Registered {
    static TABLE: OnceLock<Registered> = OnceLock::new();
    TABLE.get_or_init(|| {
        inventory::iter::<rustler::Nif>
            .into_iter()
            .map(|nif| {
                // SAFETY: a literal that ends with a NUL.
                let name = unsafe { CStr::from_ptr(nif.name as *const c_char) };
                ((name, nif.arity as c_int), nif.raw_func as Raw)
            })
            .collect()
    })
}
