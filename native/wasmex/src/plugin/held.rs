//! A replaceable term in a plug-in's handle: the instance of a component, which is unusable once a call was cut off.

use crate::vm::resource::{ResourceArc, named_resource};
use crate::vm::term_box::TermBox;
use rustler::{Encoder, Env, Term};
use std::sync::{Mutex, PoisonError};

/// A term with a version, which calls may replace.
pub struct HeldTerm(Mutex<(u64, TermBox)>);

named_resource!(HeldTerm, "pool of plug-ins");
impl std::panic::RefUnwindSafe for HeldTerm {}

#[rustler::nif]
fn plugin_hold(term: Term) -> ResourceArc<HeldTerm> {
    ResourceArc::new(HeldTerm(Mutex::new((0, TermBox::new(term)))))
}

/// `{version, term}`
#[rustler::nif]
fn plugin_held<'a>(env: Env<'a>, held: ResourceArc<HeldTerm>) -> Term<'a> {
    let held = held.0.lock().unwrap_or_else(PoisonError::into_inner);
    (held.0, held.1.get(env)).encode(env)
}

/// Replaces the term, unless it has changed since this version: then false.
#[rustler::nif]
fn plugin_hold_next(held: ResourceArc<HeldTerm>, version: u64, term: Term) -> bool {
    let next = TermBox::new(term);
    let mut held = held.0.lock().unwrap_or_else(PoisonError::into_inner);
    let is_next = held.0 == version;
    let before = is_next.then(|| std::mem::replace(&mut *held, (version + 1, next)));
    drop(held);
    // Dropped outside the lock, since its resources may take locks.
    drop(before);
    is_next
}
