//! Handles of native objects. One that can't be used here says why.
//!
//! A handle that was sent to another node is a plain reference there. rustler's own type makes a bare `badarg` of it; the one
//! of this file, which all NIFs use in its place, raises an `ArgumentError` with a sentence.

use crate::vm::atoms;
use rustler::{Decoder, Encoder, Env, LocalPid, Monitor, NifResult, Resource, Term};
use std::ops::Deref;

/// A native object that Elixir has handles of.
pub trait Named: Resource {
    /// Its name in messages.
    const NAME: &'static str;
}

/// Makes a type a [`Resource`] with this name.
macro_rules! named_resource {
    ($type:ty, $name:literal) => {
        impl rustler::Resource for $type {}
        $crate::vm::resource::named!($type, $name);
    };
}

/// Gives a [`Resource`] its name.
macro_rules! named {
    ($type:ty, $name:literal) => {
        impl $crate::vm::resource::Named for $type {
            const NAME: &'static str = $name;
        }
    };
}

pub(crate) use {named, named_resource};

/// A counted reference to a native object, as rustler's of the same name.
#[repr(transparent)]
pub struct ResourceArc<T: Named>(rustler::ResourceArc<T>);

impl<T: Named> ResourceArc<T> {
    /// A new object.
    pub fn new(data: T) -> Self {
        ResourceArc(rustler::ResourceArc::new(data))
    }

    /// The object of a handle, if it is one of this type.
    pub fn find(term: Term) -> Option<Self> {
        term.decode().ok().map(ResourceArc)
    }

    /// Has the object's `down` called when the process ends; `None` where it has ended. The environment is that of the calling
    /// process, on threads of schedulers.
    pub fn monitor(&self, env: Option<Env>, pid: &LocalPid) -> Option<Monitor> {
        self.0.monitor(env, pid)
    }

    /// Ends a monitor; false where it has ended.
    pub fn demonitor(&self, env: Option<Env>, monitor: &Monitor) -> bool {
        self.0.demonitor(env, monitor)
    }
}

impl<T: Named> Deref for ResourceArc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Named> Clone for ResourceArc<T> {
    fn clone(&self) -> Self {
        ResourceArc(self.0.clone())
    }
}

impl<T: Named> Encoder for ResourceArc<T> {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.0.encode(env)
    }
}

impl<'a, T: Named> Decoder<'a> for ResourceArc<T> {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        Self::find(term).ok_or_else(|| misuse(T::NAME, term))
    }
}

/// Raises an `ArgumentError` that says why the term, or the struct around it, is not the handle of a `name` here.
#[cold]
pub fn misuse(name: &str, term: Term) -> rustler::Error {
    rustler::Error::RaiseTerm(Box::new(ArgumentError(reason(name, inner(term)))))
}

fn reason(name: &str, term: Term) -> String {
    match origin(term) {
        // The same sentence as in `Wasmex.Options.here!/2`.
        Some(Origin::Elsewhere(node)) => format!(
            "this {name} belongs to the node {node}: handles can only be used on their own node. Send a Wasmex.Code and make \
             one here, or call a function there, for example with :erpc"
        ),
        Some(Origin::Earlier) => {
            format!("this {name} belongs to an earlier run of this node: handles end with their VM")
        }
        None if term.is_ref() => format!(
            "expected the handle of: {name}, got a reference to something else, or to one that was freed while only other \
             nodes had its handle"
        ),
        None => format!("expected the handle of: {name}, got: {}", kind(term)),
    }
}

/// A term of a caller may be of any size, so only its kind is told.
fn kind(term: Term) -> String {
    match atoms::nil().eq(&term) {
        true => "nil, which is an empty handle".to_string(),
        false => format!("a term of the type {:?}", term.get_type()),
    }
}

/// `%ArgumentError{}`
struct ArgumentError(String);

impl Encoder for ArgumentError {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        let pairs = [
            (atoms::struct_(), atoms::argument_error().encode(env)),
            (atoms::exception_(), true.encode(env)),
            (atoms::message(), self.0.as_str().encode(env)),
        ];
        crate::vm::terms::map(env, &pairs)
    }
}

/// Whether the term, or the struct around it, is a handle of another node.
pub fn is_elsewhere(term: Term) -> bool {
    matches!(origin(inner(term)), Some(Origin::Elsewhere(_)))
}

/// What is in the struct of a handle.
fn inner(term: Term) -> Term {
    let field = atoms::resource().encode(term.get_env());
    term.map_get(field).unwrap_or(term)
}

enum Origin {
    /// Another node.
    Elsewhere(String),
    /// A node with the name of this one.
    Earlier,
}

/// Where a reference was made, if not by this VM.
fn origin(term: Term) -> Option<Origin> {
    if !term.is_ref() {
        return None;
    }
    let (node, run) = maker(&term.to_binary())?;
    let own: Term = *term.get_env().make_ref();
    match maker(&own.to_binary())? {
        own if own == (node.clone(), run.clone()) => None,
        (own, _) if own == node => Some(Origin::Earlier),
        _ => Some(Origin::Elsewhere(node)),
    }
}

/// The node and its run in an encoded reference (external term format, NEWER_REFERENCE_EXT): a length of two bytes, an atom, four bytes
/// that differ between runs.
fn maker(encoded: &[u8]) -> Option<(String, Vec<u8>)> {
    let (tag, rest) = encoded.get(4..)?.split_first()?;
    let (size, rest) = match tag {
        // ATOM_EXT, ATOM_UTF8_EXT
        b'd' | b'v' => (
            usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])),
            rest.get(2..)?,
        ),
        // SMALL_ATOM_EXT, SMALL_ATOM_UTF8_EXT
        b's' | b'w' => (usize::from(*rest.first()?), rest.get(1..)?),
        _ => return None,
    };
    let node = String::from_utf8_lossy(rest.get(..size)?).into_owned();
    let run = rest.get(size..size.checked_add(4)?)?;
    Some((node, run.to_vec()))
}
