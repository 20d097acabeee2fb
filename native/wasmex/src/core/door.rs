//! Every untrusted input is checked here before it is parsed or compiled, see `native/scan`.

use crate::core::engine::EngineResource;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::host_error::{Details, HostError};
use crate::vm::options::Options;
use crate::vm::panics::PARSER;
use crate::vm::resource::ResourceArc;
use rustler::{Atom, Encoder, Env, NifResult, Term};
use scan::{Limit, Limits, Refusal, Wit};
use std::thread;

/// Stack size for recursive parsers: schedulers have small stacks.
const STACK: usize = 64 * 1024 * 1024;

/// `Wasmex.Limits`, as Elixir passes it.
pub fn limits(options: &Options) -> wasmtime::Result<Limits> {
    let mut limits = Limits::default();
    for limit in Limit::ALL {
        limits.set(*limit, options.get(limit.name())?);
    }
    Ok(limits)
}

/// The same as an argument of a NIF, or an engine, whose limits they are.
pub fn limits_of(term: Term) -> NifResult<Limits> {
    match term.decode::<Options>() {
        Ok(options) => limits(&options).map_err(|_| rustler::Error::BadArg),
        // Its decoder says what is wrong with a handle.
        Err(_) => Ok(term.decode::<ResourceArc<EngineResource>>()?.limits.clone()),
    }
}

/// Input that exceeds a limit or cannot be measured.
impl HostError for Refusal {
    fn kind(&self) -> Atom {
        match self {
            Refusal::Exceeded {
                limit: Limit::Nesting,
                ..
            } => atoms::nested_too_deep(),
            Refusal::Exceeded { .. } => atoms::too_large(),
            Refusal::Malformed { .. } => atoms::parse(),
        }
    }

    fn details<'a>(&self, env: Env<'a>) -> Details<'a> {
        match self {
            Refusal::Exceeded {
                limit,
                value,
                most,
                offset,
            } => vec![
                (
                    atoms::limit(),
                    atoms::from_static(env, limit.name()).encode(env),
                ),
                (atoms::value(), value.encode(env)),
                (atoms::most(), most.encode(env)),
                (atoms::offset(), offset.encode(env)),
            ],
            Refusal::Malformed { offset } => vec![
                (
                    atoms::message(),
                    "malformed component or debug information".encode(env),
                ),
                (atoms::offset(), offset.encode(env)),
            ],
        }
    }
}

/// Checks a module or a component in the binary format.
pub fn binary(bytes: &[u8], limits: &Limits) -> Result<()> {
    scan::binary(bytes, limits).map_err(Error::from)
}

/// The same, and refuses what may take the compiler longer than a moment with the error `:expensive`.
pub fn quick(bytes: &[u8], limits: &Limits) -> Result<()> {
    match scan::binary(bytes, &limits.quick()) {
        Err(Refusal::Exceeded { .. }) => {
            Err(Error::text(atoms::expensive(), "not compiled in the VM"))
        }
        scanned => scanned.map_err(Error::from),
    }
}

/// Checks WAT.
pub fn wat(text: &[u8], limits: &Limits) -> Result<()> {
    scan::wat(text, limits).map_err(Error::from)
}

/// Checks a file of WIT, which counts with those before it.
pub fn wit(text: &[u8], files: &mut Wit) -> Result<()> {
    files.add(text).map_err(Error::from)
}

/// Runs recursive code on a thread with a large stack, while this one waits.
pub fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name(PARSER.into());
        let thread = builder.stack_size(STACK).spawn_scoped(scope, work);
        let joined = thread.map(|thread| thread.join()).map_err(|error| {
            let text = format!("the operating system refused a thread for parsing: {error}");
            Error::text(atoms::no_threads(), text)
        })?;
        joined.map_err(|_| Error::text(atoms::parse(), "the parser failed on these bytes"))
    })
}

/// The default limits.
#[rustler::nif]
fn limits_default(env: Env) -> Vec<(Option<Atom>, u64)> {
    let limits = Limits::default();
    let row = |limit: &Limit| (atoms::from_static(env, limit.name()), limits.get(*limit));
    Limit::ALL.iter().map(row).collect()
}
