//! All errors, and their conversion to Erlang terms.

use crate::vm::atoms;
use crate::vm::backtrace;
use crate::vm::frame;
use crate::vm::host_error::{self, HostError};
use crate::vm::terms;
use rustler::{Atom, Encoder, Env, Term};
use std::any::Any;
use wasmtime::Trap;

/// Why an operation failed.
pub enum Error {
    /// An error from wasmtime while running a guest: see [`guest`].
    Guest(wasmtime::Error),
    /// An error with its own details.
    Host(Box<dyn HostError>),
    /// A kind of error with only a text.
    Text(Atom, String),
    /// The driving process cancelled the call.
    Cancelled,
    /// The store is closed.
    Closed,
    /// Waiting for the store would be a deadlock.
    Deadlock,
    /// The import that a `caller` belongs to has ended.
    CallerExpired,
    /// The import that a `caller` belongs to is run by another process.
    CallerElsewhere,
    /// The system refuses the thread that interrupts guests.
    NoTicker,
    /// Terms are too large for a normal scheduler. The NIF moves to a dirty one; this does not get to Elixir.
    Large,
}

/// The result of an operation that may fail.
pub type Result<T> = std::result::Result<T, Error>;

impl<E: HostError> From<E> for Error {
    fn from(error: E) -> Self {
        Error::Host(Box::new(error))
    }
}

impl Error {
    /// A kind of error with only a text.
    pub fn text(kind: Atom, text: impl std::fmt::Display) -> Self {
        Error::Text(kind, text.to_string())
    }

    /// With wasmtime's whole chain of causes.
    pub fn chain(kind: Atom, error: &wasmtime::Error) -> Self {
        Error::Text(kind, with_causes(error))
    }

    /// A bug in this library; the text says where.
    pub fn broken(why: impl Into<String>) -> Self {
        Error::Text(atoms::broken(), why.into())
    }

    /// The error of this type, if it is one.
    pub fn as_host<E: HostError>(&self) -> Option<&E> {
        match self {
            Error::Host(error) => (&**error as &dyn Any).downcast_ref(),
            _ => None,
        }
    }

    /// The same, to be completed by callers.
    pub fn as_host_mut<E: HostError>(&mut self) -> Option<&mut E> {
        match self {
            Error::Host(error) => (&mut **error as &mut dyn Any).downcast_mut(),
            _ => None,
        }
    }

    /// `{:error, {kind, details}}`
    pub fn to_term<'a>(&self, env: Env<'a>) -> Term<'a> {
        let (kind, details) = match self {
            Error::Guest(error) => guest(env, error),
            Error::Host(error) => (error.kind(), error.details(env)),
            Error::Text(kind, text) => (*kind, vec![(atoms::message(), text.encode(env))]),
            Error::Cancelled => (atoms::cancelled(), Vec::new()),
            Error::Closed => (atoms::closed(), Vec::new()),
            Error::Deadlock => (atoms::deadlock(), Vec::new()),
            Error::CallerExpired => (atoms::caller_expired(), Vec::new()),
            Error::CallerElsewhere => (atoms::caller_elsewhere(), Vec::new()),
            Error::NoTicker => (atoms::no_ticker(), Vec::new()),
            Error::Large => (atoms::limit(), Vec::new()),
        };
        (atoms::error(), (kind, terms::map(env, &details))).encode(env)
    }
}

/// How a failed guest ended: by an error of the host, otherwise a trap, otherwise any other error.
fn guest<'a>(env: Env<'a>, error: &wasmtime::Error) -> (Atom, host_error::Details<'a>) {
    let message = |text: &str| (atoms::message(), text.encode(env));
    let (kind, mut details) = if let Some(host) = host_error::of(error) {
        if !host.has_backtrace() {
            return (host.kind(), host.details(env));
        }
        (host.kind(), host.details(env))
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        let code = (atoms::code(), trap_code(*trap).encode(env));
        (atoms::trap(), vec![code, message(&trap.to_string())])
    } else if error.downcast_ref::<wasmtime::ThrownException>().is_some() {
        let code = (atoms::code(), atoms::uncaught_exception().encode(env));
        (
            atoms::trap(),
            vec![code, message("uncaught wasm exception")],
        )
    } else {
        let causes = backtrace::causes(error);
        let cause = causes.last().map_or("", String::as_str);
        (atoms::guest(), vec![message(cause)])
    };
    details.push((atoms::detail(), with_causes(error).encode(env)));
    details.push((atoms::backtrace(), backtrace_term(env, error)));
    (kind, details)
}

/// An error with its causes, formatted as wasmtime does, but never with a backtrace of the host, which `RUST_BACKTRACE`
/// would add.
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
        .map(|frame| frame::term(env, frame))
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

/// The kind of a term, for error messages.
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
