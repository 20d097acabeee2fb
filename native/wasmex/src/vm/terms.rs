//! Compound terms: maps, binaries, lists, and structs that hold a resource.

use crate::vm::atoms;
use crate::vm::layout;
use crate::vm::resource::{Argument, Named, ResourceArc};
use rustler::sys::{
    ErlNifMapIteratorEntry, ErlNifTerm, enif_get_tuple, enif_make_list_from_array,
    enif_make_tuple_from_array, enif_map_iterator_create, enif_map_iterator_destroy,
    enif_map_iterator_get_pair, enif_map_iterator_next,
};
use rustler::{Atom, Binary, Encoder, Env, ListIterator, NewBinary, Term};
use smallvec::SmallVec;
use std::mem::MaybeUninit;

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

/// The head and the tail of a list; `None` for an empty one, and for other terms.
#[inline]
pub fn cell<'a>(list: Term<'a>) -> Option<(Term<'a>, Term<'a>)> {
    match layout::is_used() {
        true => layout::split(list),
        false => list.list_get_cell().ok(),
    }
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

/// A number.
pub fn number(env: Env, number: u64) -> ErlNifTerm {
    match i64::try_from(number) {
        Ok(number) => layout::encode(env, number).as_c_arg(),
        Err(_) => number.encode(env).as_c_arg(),
    }
}

/// A tuple of these terms.
///
/// # Safety
/// They must be terms of this environment.
pub unsafe fn tuple<'a>(env: Env<'a>, terms: &[ErlNifTerm]) -> Term<'a> {
    let count = terms.len() as u32;
    // SAFETY: the caller's condition, and the number is right.
    unsafe {
        let tuple = enif_make_tuple_from_array(env.as_c_arg(), terms.as_ptr(), count);
        Term::new(env, tuple)
    }
}

/// The elements of a tuple, in place; `None` for other terms.
pub fn elements<'a>(tuple: Term<'a>) -> Option<&'a [ErlNifTerm]> {
    let (mut arity, mut elements) = (0, MaybeUninit::uninit());
    // SAFETY: a term of this environment; the elements are only read if it is a tuple, and are alive and immutable as
    // long as its environment.
    unsafe {
        let env = tuple.get_env().as_c_arg();
        if enif_get_tuple(env, tuple.as_c_arg(), &mut arity, elements.as_mut_ptr()) == 0 {
            return None;
        }
        match usize::try_from(arity).ok()? {
            0 => Some(&[]),
            arity => Some(std::slice::from_raw_parts(elements.assume_init(), arity)),
        }
    }
}

/// The two elements of a pair.
pub fn pair<'a>(tuple: Term<'a>) -> Option<(Term<'a>, Term<'a>)> {
    let env = tuple.get_env();
    match elements(tuple)? {
        // SAFETY: terms of the same environment.
        [first, second] => Some(unsafe { (Term::new(env, *first), Term::new(env, *second)) }),
        _ => None,
    }
}

/// The keys and values of a map, in the order of its keys.
pub type Entries<'a> = SmallVec<[(Term<'a>, Term<'a>); 24]>;

/// The maximum size of a map of fields or flags.
const MAX_ENTRIES: usize = 10_000;

/// The entries of a map; `None` for other terms, and for larger maps. rustler's iterator goes both ways, which takes
/// longer.
pub fn entries(map: Term) -> Option<Entries> {
    let env = map.get_env();
    let size = map.map_size().ok().filter(|size| *size <= MAX_ENTRIES)?;
    let mut entries = Entries::with_capacity(size);
    let mut iterator = MaybeUninit::uninit();
    let first = ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD;
    let (mut key, mut value) = (map.as_c_arg(), map.as_c_arg());
    // SAFETY: a map of this environment, since it has a size; the iterator is used between its creation and its end, and
    // its keys and values are terms of the same environment.
    unsafe {
        let env_arg = env.as_c_arg();
        if enif_map_iterator_create(env_arg, map.as_c_arg(), iterator.as_mut_ptr(), first) == 0 {
            return None;
        }
        let mut iterator = iterator.assume_init();
        while enif_map_iterator_get_pair(env_arg, &mut iterator, &mut key, &mut value) != 0 {
            entries.push((Term::new(env, key), Term::new(env, value)));
            enif_map_iterator_next(env_arg, &mut iterator);
        }
        enif_map_iterator_destroy(env_arg, &mut iterator);
    }
    Some(entries)
}

/// A resource handle inside one of the library's structs, or bare.
pub fn resource<'a, T: Named>(term: Term<'a>) -> Option<ResourceArc<T>> {
    argument(term).map(|found| ResourceArc::clone(&found))
}

/// The same, of an argument of the running NIF, see [`Argument`].
pub fn argument<'a, T: Named>(term: Term<'a>) -> Option<Argument<'a, T>> {
    if term.is_ref() {
        return Argument::find(term);
    }
    let field = atoms::resource().encode(term.get_env());
    Argument::find(term.map_get(field).ok()?)
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
