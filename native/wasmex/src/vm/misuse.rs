//! Why a term is not a usable handle of a native object.
//!
//! A handle sent to another node is a plain reference there, for which the VM's own functions say only `badarg`.

use crate::vm::atoms;
use rustler::{Encoder, Env, Term};

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
            "expected the handle of: {name}, got a reference to something else, to one that was freed while only other \
             nodes had its handle, or to one that was made before the native library was loaded again"
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
