//! Handles of native objects, with errors that say why one cannot be used.
//!
//! A handle sent to another node is a plain reference there, for which rustler's own type returns a bare `badarg`. The
//! type in this file, used by all NIFs instead, raises an `ArgumentError` with a message.

use crate::vm::atoms;
use rustler::{Decoder, Encoder, Env, LocalPid, Monitor, NifResult, Resource, Term};
use std::ops::Deref;

/// A native object with handles in Elixir.
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

/// A counted reference to a native object, like rustler's type of the same name.
#[repr(transparent)]
pub struct ResourceArc<T: Named>(rustler::ResourceArc<T>);

impl<T: Named> ResourceArc<T> {
    /// Creates an object.
    pub fn new(data: T) -> Self {
        ResourceArc(rustler::ResourceArc::new(data))
    }

    /// The object of a handle, if it has this type.
    pub fn find(term: Term) -> Option<Self> {
        term.decode().ok().map(ResourceArc)
    }

    /// Monitors a process: the object's `down` is called when it ends; `None` if it has ended. On scheduler threads the
    /// environment is that of the calling process.
    pub fn monitor(&self, env: Option<Env>, pid: &LocalPid) -> Option<Monitor> {
        self.0.monitor(env, pid)
    }

    /// Ends a monitor; false if it has fired.
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

/// Raises an `ArgumentError` that says why the term, or the struct around it, is not a usable handle of a `name`.
#[cold]
pub fn misuse(name: &str, term: Term) -> rustler::Error {
    rustler::Error::RaiseTerm(Box::new(ArgumentError(reason(name, inner(term)))))
}

fn reason(name: &str, term: Term) -> String {
    match origin(term) {
        // The same message as in `Wasmex.Options.here!/2`.
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

/// A caller's term may have any size, so only its kind is shown.
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

/// The handle in a struct.
fn inner(term: Term) -> Term {
    let field = atoms::resource().encode(term.get_env());
    term.map_get(field).unwrap_or(term)
}

enum Origin {
    /// Another node.
    Elsewhere(String),
    /// An earlier node with this node's name.
    Earlier,
}

/// The node that created a reference, if it was not this VM.
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

/// The node and its creation in an encoded reference (external term format, NEWER_REFERENCE_EXT): a length of two
/// bytes, an atom, and the creation, four bytes that differ between restarts.
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
