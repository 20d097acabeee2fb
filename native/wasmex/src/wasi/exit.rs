//! How WASI ends a guest: at its own request, or because it printed too much. A backtrace would not help.

use crate::vm::atoms;
use crate::vm::host_error::{Details, HostError};
use crate::wasi::budget::OutputLimit;
use rustler::{Atom, Encoder, Env};
use wasmtime_wasi::I32Exit;

/// `proc_exit` and `wasi:cli/exit`.
impl HostError for I32Exit {
    fn kind(&self) -> Atom {
        atoms::exit()
    }

    fn details<'a>(&self, env: Env<'a>) -> Details<'a> {
        vec![(atoms::code(), self.0.cast_unsigned().encode(env))]
    }

    fn has_backtrace(&self) -> bool {
        false
    }
}

impl HostError for OutputLimit {
    fn kind(&self) -> Atom {
        atoms::output_limit()
    }

    fn details<'a>(&self, env: Env<'a>) -> Details<'a> {
        vec![(atoms::limit(), self.limit.encode(env))]
    }

    fn has_backtrace(&self) -> bool {
        false
    }
}
