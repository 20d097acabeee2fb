//! Frames of a guest's backtrace as terms.

use crate::vm::atoms;
use crate::vm::backtrace::INLINED;
use crate::vm::demangle::{cut, demangle_raw};
use crate::vm::terms;
use rustler::{Encoder, Env, Term};
use wasmtime::FrameInfo;

/// `%{module_name, func_name, func_index, func_offset, module_offset, symbols}`. Names of functions are
/// demangled, and all names are truncated to the length used in texts.
pub fn term<'a>(env: Env<'a>, frame: &FrameInfo) -> Term<'a> {
    let symbols: Vec<Term> = frame
        .symbols()
        .iter()
        .take(INLINED)
        .map(|symbol| {
            terms::map(
                env,
                &[
                    (
                        atoms::name(),
                        symbol.name().map(demangle_raw).as_deref().encode(env),
                    ),
                    (atoms::file(), symbol.file().map(cut).encode(env)),
                    (atoms::line(), symbol.line().encode(env)),
                    (atoms::column(), symbol.column().encode(env)),
                ],
            )
        })
        .collect();
    terms::map(
        env,
        &[
            (
                atoms::module_name(),
                frame.module().name().map(cut).encode(env),
            ),
            (
                atoms::func_name(),
                frame.func_name().map(demangle_raw).as_deref().encode(env),
            ),
            (atoms::func_index(), frame.func_index().encode(env)),
            (atoms::func_offset(), frame.func_offset().encode(env)),
            (atoms::module_offset(), frame.module_offset().encode(env)),
            (atoms::symbols(), symbols.encode(env)),
        ],
    )
}
