//! Counts live native objects, so that tests can detect leaks.

use crate::vm::atoms;
use rustler::{Atom, Encoder, Env, Term};
use std::sync::atomic::{AtomicI64, Ordering};

/// The counted kinds.
#[derive(Clone, Copy)]
pub enum Kind {
    Engine,
    Module,
    Store,
    Instance,
    Template,
    Execution,
    Memory,
    Table,
    Global,
    Tag,
    Func,
    Reference,
    Pipe,
    Term,
    Component,
    ComponentInstance,
    Handle,
    Exchange,
    Connection,
    Child,
    Socket,
}

const KINDS: usize = 21;

static COUNTS: [AtomicI64; KINDS] = [const { AtomicI64::new(0) }; KINDS];

/// Held by each counted object.
pub struct Live(Kind);

impl Live {
    /// Counts one more of this kind.
    pub fn new(kind: Kind) -> Self {
        COUNTS[kind as usize].fetch_add(1, Ordering::Relaxed);
        Live(kind)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        COUNTS[self.0 as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

#[rustler::nif]
fn live_objects(env: Env) -> Term {
    let names: [Atom; KINDS] = [
        atoms::engine(),
        atoms::module(),
        atoms::store(),
        atoms::instance(),
        atoms::template(),
        atoms::execution(),
        atoms::memory(),
        atoms::table(),
        atoms::global(),
        atoms::tag(),
        atoms::func(),
        atoms::reference(),
        atoms::pipe(),
        atoms::term(),
        atoms::component(),
        atoms::component_instance(),
        atoms::handle(),
        atoms::exchange(),
        atoms::connection(),
        atoms::child(),
        atoms::socket(),
    ];
    names
        .iter()
        .zip(&COUNTS)
        .map(|(name, count)| (*name, count.load(Ordering::Relaxed)))
        .collect::<Vec<_>>()
        .encode(env)
}
