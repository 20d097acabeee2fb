//! Everything that can go wrong, and its one way into an Erlang term.
//!
//! Rust fills the fields; `Wasmex.Error` in Elixir makes the exception and writes the sentence.

use crate::component::problem::{BadValue, Problem};
use crate::core::types;
use crate::vm::atoms;
use crate::vm::backtrace;
use crate::vm::terms;
use crate::wasi::budget::OutputLimit;
use rustler::{Atom, Encoder, Env, Term};
use scan::{Limit, Refusal};
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

pub enum Error {
    /// wasmtime's own error from running a guest: see [`judge`].
    Guest(wasmtime::Error),
    /// The driving process gave up on the call.
    Cancelled,
    Closed,
    Broken(String),
    Deadlock,
    CallerExpired,
    CallerElsewhere,
    ForeignStore(Atom),
    NoTicker,
    Arity {
        expected: usize,
        given: usize,
    },
    /// `position` counts from 0; `None` for a value that is no argument (a global, a table element).
    Value {
        position: Option<usize>,
        wanted: String,
        given: Atom,
    },
    /// An argument of a component's function.
    Conversion(Box<Problem>),
    /// A component's call ended in the middle, earlier: none of the store's may run again.
    Spent,
    UnknownPath {
        path: Vec<String>,
        position: usize,
        names: Vec<String>,
    },
    /// Interface, name and type of each.
    MissingImports(Vec<(Option<String>, String, String)>),
    UnknownExport {
        kind: Atom,
        name: String,
        names: Vec<String>,
    },
    MissingImport {
        namespace: String,
        name: String,
        types: String,
        missing: Vec<(String, String)>,
        linked: bool,
    },
    /// Bytes that ask for too much.
    Refused(Refusal),
    /// A kind of trouble that carries one text.
    Text(Atom, String),
    OutOfBounds {
        offset: u64,
        size: u64,
        limit: u64,
    },
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn text(kind: Atom, text: impl std::fmt::Display) -> Self {
        Error::Text(kind, text.to_string())
    }

    /// With wasmtime's whole chain of causes.
    pub fn chain(kind: Atom, error: &wasmtime::Error) -> Self {
        Error::Text(kind, with_causes(error))
    }

    /// `{:error, {kind, details}}`
    pub fn to_term<'a>(&self, env: Env<'a>) -> Term<'a> {
        let (kind, details) = self.parts(env);
        (atoms::error(), (kind, details)).encode(env)
    }

    fn parts<'a>(&self, env: Env<'a>) -> (Atom, Term<'a>) {
        let map = |pairs: &[(Atom, Term<'a>)]| {
            Term::map_from_pairs(env, pairs).unwrap_or_else(|_| env.error_tuple(atoms::other()))
        };
        match self {
            Error::Guest(error) => judge(env, error),
            Error::Cancelled => (atoms::cancelled(), map(&[])),
            Error::Closed => (atoms::closed(), map(&[])),
            Error::Broken(why) => (atoms::broken(), map(&[(atoms::message(), why.encode(env))])),
            Error::Deadlock => (atoms::deadlock(), map(&[])),
            Error::CallerExpired => (atoms::caller_expired(), map(&[])),
            Error::CallerElsewhere => (atoms::caller_elsewhere(), map(&[])),
            Error::ForeignStore(kind) => (
                atoms::foreign_store(),
                map(&[(atoms::kind(), kind.encode(env))]),
            ),
            Error::NoTicker => (atoms::no_ticker(), map(&[])),
            Error::Arity { expected, given } => (
                atoms::arity(),
                map(&[
                    (atoms::expected(), expected.encode(env)),
                    (atoms::given(), given.encode(env)),
                ]),
            ),
            Error::Value {
                position,
                wanted,
                given,
            } => (
                atoms::value(),
                map(&[
                    (atoms::position(), position.encode(env)),
                    (atoms::wanted(), wanted.encode(env)),
                    (atoms::given(), given.encode(env)),
                ]),
            ),
            Error::Conversion(problem) => (atoms::conversion(), problem.to_term(env)),
            Error::Spent => (atoms::spent(), map(&[])),
            Error::UnknownPath {
                path,
                position,
                names,
            } => (
                atoms::unknown_path(),
                map(&[
                    (atoms::path(), path.encode(env)),
                    (atoms::position(), position.encode(env)),
                    (atoms::names(), names.encode(env)),
                ]),
            ),
            Error::MissingImports(missing) => (
                atoms::missing_imports(),
                map(&[(atoms::names(), missing.encode(env))]),
            ),
            Error::UnknownExport { kind, name, names } => (
                atoms::unknown_export(),
                map(&[
                    (atoms::kind(), kind.encode(env)),
                    (atoms::name(), name.encode(env)),
                    (atoms::names(), names.encode(env)),
                ]),
            ),
            Error::MissingImport {
                namespace,
                name,
                types,
                missing,
                linked,
            } => (
                atoms::missing_import(),
                map(&[
                    (atoms::namespace(), namespace.encode(env)),
                    (atoms::name(), name.encode(env)),
                    (atoms::wanted(), types.encode(env)),
                    (atoms::names(), missing.encode(env)),
                    (atoms::linked(), linked.encode(env)),
                ]),
            ),
            Error::Refused(refusal) => refused(env, refusal),
            Error::Text(kind, text) => (*kind, map(&[(atoms::message(), text.encode(env))])),
            Error::OutOfBounds {
                offset,
                size,
                limit,
            } => (
                atoms::out_of_bounds(),
                map(&[
                    (atoms::offset(), offset.encode(env)),
                    (atoms::size(), size.encode(env)),
                    (atoms::limit(), limit.encode(env)),
                ]),
            ),
        }
    }
}

fn refused<'a>(env: Env<'a>, refusal: &Refusal) -> (Atom, Term<'a>) {
    let (kind, pairs) = match refusal {
        Refusal::Exceeded {
            limit,
            value,
            most,
            offset,
        } => {
            // One of ours: no guest can make more of them.
            let name = Atom::from_str(env, limit.name()).ok();
            let kind = match limit {
                Limit::Nesting => atoms::nested_too_deep(),
                _ => atoms::too_large(),
            };
            let pairs = vec![
                (atoms::limit(), name.encode(env)),
                (atoms::value(), value.encode(env)),
                (atoms::most(), most.encode(env)),
                (atoms::offset(), offset.encode(env)),
            ];
            (kind, pairs)
        }
        Refusal::Malformed { offset } => {
            let pairs = vec![
                (atoms::message(), "malformed component".encode(env)),
                (atoms::offset(), offset.encode(env)),
            ];
            (atoms::parse(), pairs)
        }
    };
    (kind, terms::map(env, &pairs))
}

/// What an Elixir function that failed leaves in the guest: the function's own error is kept by the
/// process that ran it.
#[derive(Debug)]
pub struct ImportRaised;

impl std::fmt::Display for ImportRaised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an imported function failed")
    }
}

impl std::error::Error for ImportRaised {}

/// What an Elixir function that returned the wrong thing leaves in the guest.
#[derive(Debug)]
pub struct BadResults(pub String);

impl std::fmt::Display for BadResults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadResults {}

/// The one judge of a failed guest: the host's own error first, then exit, then trap, then the rest.
fn judge<'a>(env: Env<'a>, error: &wasmtime::Error) -> (Atom, Term<'a>) {
    if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        return (atoms::exit(), status.encode(env));
    }
    if let Some(OutputLimit { limit }) = error.downcast_ref::<OutputLimit>() {
        let details = Term::map_from_pairs(env, &[(atoms::limit(), limit.encode(env))]);
        return (
            atoms::output_limit(),
            details.unwrap_or_else(|_| atoms::nil().encode(env)),
        );
    }
    let mut pairs: Vec<(Atom, Term<'a>)> = vec![
        (atoms::detail(), with_causes(error).encode(env)),
        (atoms::backtrace(), backtrace_term(env, error)),
    ];
    let kind = if error.downcast_ref::<ImportRaised>().is_some() {
        atoms::import_raised()
    } else if let Some(BadValue(problem)) = error.downcast_ref::<BadValue>() {
        pairs.push((atoms::message(), problem.to_term(env)));
        atoms::bad_value()
    } else if let Some(BadResults(text)) = error.downcast_ref::<BadResults>() {
        pairs.push((atoms::message(), text.encode(env)));
        atoms::bad_results()
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        pairs.push((atoms::code(), trap_code(*trap).encode(env)));
        pairs.push((atoms::message(), trap.to_string().encode(env)));
        atoms::trap()
    } else if error.downcast_ref::<wasmtime::ThrownException>().is_some() {
        pairs.push((atoms::code(), atoms::uncaught_exception().encode(env)));
        pairs.push((atoms::message(), "uncaught wasm exception".encode(env)));
        atoms::trap()
    } else {
        let causes = backtrace::causes(error);
        pairs.push((atoms::message(), causes.last().encode(env)));
        atoms::guest()
    };
    match Term::map_from_pairs(env, &pairs) {
        Ok(map) => (kind, map),
        Err(_) => (kind, atoms::nil().encode(env)),
    }
}

/// An error with its causes, as wasmtime itself prints them, but never with a backtrace of the host,
/// which `RUST_BACKTRACE` would add.
fn with_causes(error: &wasmtime::Error) -> String {
    let texts = backtrace::causes(error);
    let (text, causes) = match texts.split_first() {
        Some((text, causes)) => (text.clone(), causes),
        None => (String::new(), &[][..]),
    };
    if causes.is_empty() {
        return text;
    }
    let mut text = text + "\n\nCaused by:";
    for (index, cause) in causes.iter().enumerate() {
        let (label, indent) = match causes.len() {
            1 => ("    ".to_string(), "    "),
            _ => (format!("{index:>5}: "), "       "),
        };
        text.push_str(&format!(
            "\n{label}{}",
            cause.replace('\n', &format!("\n{indent}"))
        ));
    }
    text
}

fn backtrace_term<'a>(env: Env<'a>, error: &wasmtime::Error) -> Term<'a> {
    backtrace::frames(error)
        .iter()
        .take(backtrace::FRAMES)
        .map(|frame| types::frame(env, frame))
        .collect::<Vec<_>>()
        .encode(env)
}

fn trap_code(trap: Trap) -> Atom {
    match trap {
        Trap::StackOverflow => atoms::stack_overflow(),
        Trap::MemoryOutOfBounds => atoms::memory_out_of_bounds(),
        Trap::HeapMisaligned => atoms::heap_misaligned(),
        Trap::TableOutOfBounds => atoms::table_out_of_bounds(),
        Trap::IndirectCallToNull => atoms::indirect_call_to_null(),
        Trap::BadSignature => atoms::bad_signature(),
        Trap::IntegerOverflow => atoms::integer_overflow(),
        Trap::IntegerDivisionByZero => atoms::integer_division_by_zero(),
        Trap::BadConversionToInteger => atoms::bad_conversion_to_integer(),
        Trap::UnreachableCodeReached => atoms::unreachable(),
        Trap::Interrupt => atoms::interrupt(),
        Trap::OutOfFuel => atoms::out_of_fuel(),
        Trap::AtomicWaitNonSharedMemory => atoms::atomic_wait_non_shared_memory(),
        Trap::NullReference => atoms::null_reference(),
        Trap::ArrayOutOfBounds => atoms::array_out_of_bounds(),
        Trap::AllocationTooLarge => atoms::allocation_too_large(),
        Trap::CastFailure => atoms::cast_failure(),
        Trap::UnhandledTag => atoms::unhandled_tag(),
        _ => atoms::other(),
    }
}

/// Which kind of term was given, for a message.
pub fn kind_of(term: Term) -> Atom {
    use rustler::TermType::*;
    match term.get_type() {
        Atom => atoms::kind_atom(),
        Binary => atoms::kind_binary(),
        Fun => atoms::kind_fun(),
        List => atoms::kind_list(),
        Map => atoms::kind_map(),
        Pid => atoms::kind_pid(),
        Port => atoms::kind_port(),
        Ref => atoms::kind_ref(),
        Tuple => atoms::kind_tuple(),
        Integer => atoms::kind_integer(),
        Float => atoms::kind_float(),
        Unknown => atoms::kind_unknown(),
    }
}
