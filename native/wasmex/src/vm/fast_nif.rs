//! NIFs without the overhead of the attribute macro (a vector of terms, conversion of the result), for calls, imports
//! and memory access. Panics are caught as usual.

use crate::vm::atoms;
use rustler::sys::{ErlNifEnv, ErlNifTerm};
use rustler::{Decoder, Env, Term};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `nif` with its arguments; invalid ones raise `ArgumentError`.
///
/// # Safety
/// To be called by the VM only, with the arguments it passes to a NIF of arity `N`.
pub unsafe fn call<const N: usize>(
    env: *mut ErlNifEnv,
    args: *const ErlNifTerm,
    nif: for<'a> fn(Env<'a>, [Term<'a>; N]) -> rustler::NifResult<Term<'a>>,
) -> ErlNifTerm {
    let lifetime = ();
    // SAFETY: the VM passes its own environment and as many terms of it as the arity says.
    let (env, args) = unsafe {
        let env = Env::new(&lifetime, env);
        (
            env,
            std::array::from_fn(|index| Term::new(env, *args.add(index))),
        )
    };
    match catch_unwind(AssertUnwindSafe(|| nif(env, args))) {
        Ok(Ok(term)) => term.as_c_arg(),
        // SAFETY: makes an exception in the environment of the running NIF.
        Ok(Err(rustler::Error::RaiseTerm(reason))) => unsafe {
            rustler::sys::enif_raise_exception(env.as_c_arg(), reason.encode(env).as_c_arg())
        },
        // SAFETY: as above.
        Ok(Err(_)) => unsafe { rustler::sys::enif_make_badarg(env.as_c_arg()) },
        Err(_) => {
            let reason = atoms::nif_panicked().as_c_arg();
            // SAFETY: as above.
            unsafe { rustler::sys::enif_raise_exception(env.as_c_arg(), reason) }
        }
    }
}

/// An integer or nil, most often nil.
pub fn option(term: Term) -> rustler::NifResult<Option<u64>> {
    if term.is_atom() {
        Ok(None)
    } else {
        term.decode().map(Some)
    }
}

/// A value or nil. rustler's `Option` tries to decode the value first.
pub fn or_nil<'a, T: Decoder<'a>>(term: Term<'a>) -> rustler::NifResult<Option<T>> {
    match term.as_c_arg() == atoms::nil().as_c_arg() {
        true => Ok(None),
        false => term.decode().map(Some),
    }
}

/// Registers `$nif`, a function as [`call`] takes it, under its own name.
macro_rules! fast_nif {
    ($nif:ident / $arity:literal) => {
        rustler::codegen_runtime::inventory::submit!(rustler::Nif {
            name: concat!(stringify!($nif), "\0").as_ptr()
                as *const rustler::codegen_runtime::c_char,
            arity: $arity,
            flags: 0,
            raw_func: {
                unsafe extern "C" fn raw(
                    env: *mut rustler::sys::ErlNifEnv,
                    _arity: rustler::codegen_runtime::c_int,
                    args: *const rustler::sys::ErlNifTerm,
                ) -> rustler::sys::ErlNifTerm {
                    // SAFETY: this is what the VM calls, with the arity registered above.
                    unsafe { $crate::vm::fast_nif::call::<$arity>(env, args, $nif) }
                }
                raw
            }
        });
    };
}

pub(crate) use fast_nif;
