//! Compound terms: maps, binaries, lists, and structs that hold a resource.

use crate::vm::atoms;
use crate::vm::layout;
use crate::vm::resource::{Named, ResourceArc};
use rustler::sys::{ErlNifTerm, enif_make_list_from_array};
use rustler::{Atom, Binary, Encoder, Env, ListIterator, NewBinary, Term};

/// A map with atom keys, which must be distinct.
pub fn map<'a>(env: Env<'a>, pairs: &[(Atom, Term<'a>)]) -> Term<'a> {
    Term::map_from_pairs(env, pairs).unwrap_or_else(|_| env.error_tuple(atoms::other()))
}

/// A binary with a copy of these bytes.
pub fn binary<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    let mut binary = NewBinary::new(env, bytes.len());
    binary.as_mut_slice().copy_from_slice(bytes);
    Binary::from(binary).to_term(env)
}

/// The elements of a list and their number; `None` for improper lists and other terms.
pub fn list(term: Term) -> Option<(ListIterator, usize)> {
    let length = term.list_length().ok()?;
    Some((term.decode().ok()?, length))
}

/// The length of a list if it is less than `most`, otherwise `most`.
pub fn length_up_to(list: Term, most: usize) -> usize {
    if layout::is_used() {
        return layout::length_up_to(list, most);
    }
    let (mut rest, mut length) = (list, 0);
    while length < most
        && let Ok((_, tail)) = rest.list_get_cell()
    {
        rest = tail;
        length += 1;
    }
    length
}

/// A list of these terms.
pub fn list_of<'a>(env: Env<'a>, terms: &[ErlNifTerm]) -> Term<'a> {
    let count = terms.len() as u32;
    // SAFETY: terms of this environment, of the stated number; a guest's memory holds no list of more than 2^32.
    unsafe {
        let list = enif_make_list_from_array(env.as_c_arg(), terms.as_ptr(), count);
        Term::new(env, list)
    }
}

/// A resource handle inside one of the library's structs, or bare.
pub fn resource<'a, T: Named>(term: Term<'a>) -> Option<ResourceArc<T>> {
    if term.is_ref() {
        return ResourceArc::find(term);
    }
    let field = atoms::resource().encode(term.get_env());
    ResourceArc::find(term.map_get(field).ok()?)
}

/// The struct of this module that wraps a resource: `%Wasmex.Func{}`, `%Wasmex.Reference{}`.
pub fn handle<'a, T: Named>(env: Env<'a>, module: Atom, resource: ResourceArc<T>) -> Term<'a> {
    let reference: Term = *env.make_ref();
    let pairs = [
        (atoms::struct_(), module.encode(env)),
        (atoms::resource(), resource.encode(env)),
        (atoms::reference(), reference),
    ];
    map(env, &pairs)
}
