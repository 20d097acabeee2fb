//! Records the WASI calls of guests for Elixir to fetch, see `Wasmex.Trace`.

use crate::guest::cell::StoreCell;
use crate::guest::extension::{Extension, NewStore};
use crate::vm::atoms;
use crate::vm::error::Result;
use crate::vm::resource::ResourceArc;
use crate::vm::slots::Shared;
use crate::vm::terms;
use rustler::{Encoder, Env, Term};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Maximum number of waiting events; a program's are fetched after each slice.
const MOST: usize = 10_000;

/// The events of one store.
#[derive(Default)]
pub struct Trace {
    events: Vec<Event>,
    /// The call in progress, or in progress when its guest was stopped.
    current: Option<(Event, Instant)>,
    dropped: u64,
}

/// One call.
pub struct Event {
    /// The function.
    pub name: &'static str,
    /// Its arguments.
    pub args: Vec<(&'static str, Arg)>,
    /// Its outcome.
    pub outcome: Outcome,
    /// The results of a successful call.
    pub outputs: Vec<(&'static str, Arg)>,
    /// Its duration.
    pub nanoseconds: u64,
}

/// An argument or a result.
pub enum Arg {
    Number(u64),
    Text(Vec<u8>),
    /// The total length, and the first bytes.
    Data(u64, Vec<u8>),
    Flags(Vec<&'static str>),
    Name(&'static str),
}

/// The outcome of a call.
pub enum Outcome {
    Errno(&'static str),
    Exit(i32),
    Trap,
    Unfinished,
}

impl Trace {
    /// Records the start of a call.
    pub fn begin(&mut self, event: Event) {
        self.current = Some((event, Instant::now()));
    }

    /// Records the end of the latest call.
    pub fn end(&mut self, outcome: Outcome, outputs: Vec<(&'static str, Arg)>) {
        if let Some((event, started)) = self.current.take() {
            let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.push(Event {
                outcome,
                outputs,
                nanoseconds,
                ..event
            });
        }
    }

    fn push(&mut self, event: Event) {
        if self.events.len() < MOST {
            self.events.push(event);
        } else {
            self.dropped += 1;
        }
    }
}

impl Encoder for Arg {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Arg::Number(number) => number.encode(env),
            Arg::Text(bytes) => bytes_term(env, bytes),
            Arg::Data(len, start) => (atoms::bytes(), len, bytes_term(env, start)).encode(env),
            Arg::Flags(flags) => {
                let flags: Vec<_> = flags
                    .iter()
                    .filter_map(|flag| atoms::from_static(env, flag))
                    .collect();
                flags.encode(env)
            }
            Arg::Name(name) => atoms::from_static(env, name).encode(env),
        }
    }
}

impl Encoder for Event {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        let outcome = match &self.outcome {
            Outcome::Errno(name) => atoms::from_static(env, name).encode(env),
            Outcome::Exit(status) => (atoms::exit(), status).encode(env),
            Outcome::Trap => atoms::trap().encode(env),
            Outcome::Unfinished => atoms::unfinished().encode(env),
        };
        let (args, outputs) = (named(env, &self.args), named(env, &self.outputs));
        (self.name, args, outcome, outputs, self.nanoseconds).encode(env)
    }
}

fn named<'a>(env: Env<'a>, args: &[(&'static str, Arg)]) -> Term<'a> {
    let pairs: Vec<_> = args
        .iter()
        .map(|(name, arg)| (atoms::from_static(env, name), arg))
        .collect();
    pairs.encode(env)
}

fn bytes_term<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    terms::binary(env, bytes)
}

/// The trace of a store, shared by its data and its cell, so that events can be fetched while the guest runs.
#[derive(Default)]
pub struct Log(Mutex<Trace>);

impl Shared for Log {}

impl Log {
    /// Held briefly: the guest waits for the lock to write.
    pub fn lock(&self) -> MutexGuard<'_, Trace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Attached to stores made with `:trace`.
pub struct Tracing;

impl Extension for Tracing {
    fn attach(&self, store: &mut NewStore<'_>) -> Result<()> {
        if store.is_asked(atoms::trace()) {
            store.share::<Log>(Arc::default());
            store.traced = true;
        }
        Ok(())
    }
}

/// `{[{name, args, outcome, outputs, nanoseconds}], dropped}`: the events since the last call of this NIF. With
/// `ended`, a call in progress is included, because it will never end.
#[rustler::nif]
fn trace_take<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>, ended: bool) -> Term<'a> {
    let Some(log) = cell.slots.get::<Log>() else {
        return (Vec::<u8>::new(), 0).encode(env);
    };
    let mut trace = log.lock();
    if ended {
        trace.end(Outcome::Unfinished, Vec::new());
    }
    let events = std::mem::take(&mut trace.events);
    let dropped = std::mem::take(&mut trace.dropped);
    drop(trace);
    (events, dropped).encode(env)
}
