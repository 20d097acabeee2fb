//! Lifts a guest's values to terms, directly from its memory (canonical ABI, "loading").
//!
//! No guest code runs meanwhile. What takes longer than a slice is put off to a dirty scheduler, see [`deferred`].

mod by_address;
pub mod deferred;
mod handles;
pub mod records;
pub mod source;

use crate::component::lift::by_address::ByAddress;
use crate::component::lift::handles::Handles;
use crate::component::lift::source::Source;
use crate::component::mapping::Mapping;
use crate::component::types::flat;
use crate::component::types::names::Name;
use crate::component::types::numbers::{self, Number};
use crate::component::types::scalar;
use crate::component::types::shape::{Cases, Kind, Record, Shape};
use crate::component::types::weight::{LIST_CELL, MAP_ENTRY};
use crate::vm::atoms;
use crate::vm::heap_binary;
use crate::vm::small_map::{self, SharedKeys};
use crate::vm::terms;
use rustler::sys::ErlNifTerm;
use rustler::{Encoder, Env, Term};
use smallvec::SmallVec;
use std::collections::HashMap;
use wasmtime::Result;

/// Fuel per byte of terms; a byte that is only copied costs one. Terms are made in a single pass, and this bounds its
/// duration.
const TERM_PRICE: usize = 4;

/// Lifts a guest's values.
struct Lifter<'m, 'e> {
    /// Where the terms are made.
    env: Env<'e>,
    /// How the values look in Elixir.
    mapping: Mapping,
    /// The guest's memory.
    source: Source<'m>,
    /// The handles in the values.
    handles: &'m mut Handles,
    /// The keys of records lifted so far, as terms of `env`.
    keys: ByAddress<SharedKeys<'e>>,
    /// The same for records that are not small maps.
    key_lists: HashMap<*const Record, Vec<ErlNifTerm>>,
    /// The same for other names that are strings: one may be long and occur a million times.
    names: ByAddress<Term<'e>>,
}

impl<'m, 'e> Lifter<'m, 'e> {
    fn new(env: Env<'e>, mapping: Mapping, source: Source<'m>, handles: &'m mut Handles) -> Self {
        Lifter {
            env,
            mapping,
            source,
            handles,
            keys: ByAddress::new(),
            key_lists: HashMap::new(),
            names: ByAddress::new(),
        }
    }

    /// The items of a tuple as a list, the form of arguments and results.
    fn list(&mut self, tuple: &Shape, bytes: &[u8]) -> Result<Term<'e>> {
        self.source.spend(tuple.weight.saturating_mul(TERM_PRICE))?;
        let mut list = Term::list_new_empty(self.env);
        for item in tuple.items().iter().rev() {
            let term = self.value(&item.shape, &bytes[item.offset..])?;
            list = list.list_prepend(term);
        }
        Ok(list)
    }

    fn value(&mut self, shape: &Shape, bytes: &[u8]) -> Result<Term<'e>> {
        let env = self.env;
        Ok(match &shape.kind {
            Kind::Bool => (bytes[0] != 0).encode(env),
            Kind::Number(number) => number.encode(env, bytes),
            Kind::Char => scalar::character(env, numbers::read(bytes, 4) as u32)?,
            Kind::String => self.string(bytes)?,
            Kind::List(element) => self.elements(element, bytes)?,
            Kind::FixedList(element, length) => match self.packed(element) {
                Some(number) => self.numbers(number, &bytes[..element.size * length]),
                None => self.items(element, bytes, *length)?,
            },
            Kind::Map(entry) => self.map(entry, bytes)?,
            Kind::Record(record) => self.record(record, bytes)?,
            Kind::Tuple(items) => {
                let mut terms = Vec::with_capacity(items.len());
                for item in items {
                    terms.push(self.value(&item.shape, &bytes[item.offset..])?);
                }
                rustler::types::tuple::make_tuple(env, &terms)
            }
            Kind::Variant(cases) => self.variant(cases, bytes)?,
            Kind::Enum(cases) => {
                let case = flat::case(cases, flat::tag(cases, bytes))?;
                self.name(&case.name)
            }
            Kind::Option(cases) => self.tagged(cases, bytes, [atoms::none(), atoms::some()])?,
            Kind::Result(cases) => self.tagged(cases, bytes, [atoms::ok(), atoms::error()])?,
            Kind::Flags(names) => {
                let bits = numbers::read(bytes, shape.size);
                self.flags(names, bits)?
            }
            Kind::Resource(_) => {
                let index = numbers::read(bytes, 4) as u32;
                self.handles.term(env, index)?
            }
        })
    }

    /// A map of the flags that are set.
    fn flags(&mut self, names: &[Name], bits: u64) -> Result<Term<'e>> {
        let set = names
            .iter()
            .enumerate()
            .filter(|(index, _)| bits & (1 << index) != 0);
        let set: SmallVec<[ErlNifTerm; 32]> =
            set.map(|(_, name)| self.name(name).as_c_arg()).collect();
        let values: SmallVec<[ErlNifTerm; 32]> =
            SmallVec::from_elem(atoms::true_().as_c_arg(), set.len());
        small_map::by_interface(self.env, &set, &values)
            .ok_or_else(|| wasmtime::Error::msg("two flags have one name"))
    }

    fn name(&mut self, name: &Name) -> Term<'e> {
        if let Some(atom) = name.atom(self.env, self.mapping) {
            return atom;
        }
        if let Some(term) = self.names.get(name) {
            return term;
        }
        let term = name.string(self.env);
        self.names.insert(name, term);
        term
    }

    fn binary(&self, bytes: &[u8]) -> Term<'e> {
        heap_binary::make(self.env, bytes)
    }

    /// UTF-8 is copied, other encodings are converted.
    fn string(&mut self, bytes: &[u8]) -> Result<Term<'e>> {
        let (at, length) = pair(bytes);
        if let Some(text) = self.source.text(at, length)? {
            return Ok(self.binary(text.as_bytes()));
        }
        let text = self.source.slice(at, length, 1)?;
        self.source.spend(length)?;
        std::str::from_utf8(text)?;
        Ok(self.binary(text))
    }

    fn elements(&mut self, element: &Shape, bytes: &[u8]) -> Result<Term<'e>> {
        let (at, length) = pair(bytes);
        if self.mapping.bytes && element.is_byte() {
            let bytes = self.source.slice(at, length, 1)?;
            self.source.spend(length)?;
            return Ok(self.binary(bytes));
        }
        if let Some(number) = self.packed(element) {
            let size = length
                .checked_mul(element.size)
                .ok_or_else(|| wasmtime::Error::msg("a list is too long"))?;
            let bytes = self.source.slice(at, size, element.align)?;
            self.source.spend(size)?;
            return Ok(self.numbers(number, bytes));
        }
        let bytes = self.list_bytes(element, at, length, LIST_CELL)?;
        self.items(element, bytes, length)
    }

    fn packed(&self, element: &Shape) -> Option<Number> {
        match element.kind {
            Kind::Number(number) if self.mapping.packed => Some(number),
            _ => None,
        }
    }

    /// `{:u32, binary}`: numbers in their memory layout.
    fn numbers(&self, number: Number, bytes: &[u8]) -> Term<'e> {
        (number.atom(), self.binary(bytes)).encode(self.env)
    }

    /// The bytes of a list. Its terms are charged before they are made; `each` is the cost of one list cell.
    fn list_bytes(
        &mut self,
        element: &Shape,
        at: usize,
        length: usize,
        each: usize,
    ) -> Result<&'m [u8]> {
        let size = length
            .checked_mul(element.size)
            .ok_or_else(|| wasmtime::Error::msg("a list is too long"))?;
        let bytes = self.source.slice(at, size, element.align)?;
        let weight = element
            .weight
            .saturating_add(each)
            .saturating_mul(TERM_PRICE);
        let fuel = length.saturating_mul(weight.max(element.size));
        self.source.spend(fuel)?;
        Ok(bytes)
    }

    fn items(&mut self, element: &Shape, bytes: &[u8], length: usize) -> Result<Term<'e>> {
        if let Kind::Record(record) = &element.kind
            && let Some(maps) = self.records(record, bytes, element.size, length)?
        {
            return Ok(terms::list_of(self.env, &maps));
        }
        let terms = match element.kind {
            Kind::Number(number) => number.encode_list(self.env, &bytes[..length * element.size]),
            _ => (0..length)
                .map(|index| self.value(element, &bytes[index * element.size..]))
                .map(|term| term.map(|term| term.as_c_arg()))
                .collect::<Result<Vec<ErlNifTerm>>>()?,
        };
        Ok(terms::list_of(self.env, &terms))
    }

    /// If a key occurs more than once, the last entry wins.
    fn map(&mut self, entry: &Shape, bytes: &[u8]) -> Result<Term<'e>> {
        let (at, length) = pair(bytes);
        let bytes = self.list_bytes(entry, at, length, MAP_ENTRY)?;
        let mut map = Term::map_new(self.env);
        if let [key, value] = entry.items() {
            for index in 0..length {
                let bytes = &bytes[index * entry.size..];
                let key = self.value(&key.shape, &bytes[key.offset..])?;
                let value = self.value(&value.shape, &bytes[value.offset..])?;
                map = put(map, key, value)?;
            }
        }
        Ok(map)
    }

    fn variant(&mut self, cases: &Cases, bytes: &[u8]) -> Result<Term<'e>> {
        let case = flat::case(cases, flat::tag(cases, bytes))?;
        let name = self.name(&case.name);
        Ok(match &case.payload {
            Some(payload) => {
                let payload = self.value(payload, &bytes[cases.payload_offset..])?;
                (name, payload).encode(self.env)
            }
            None => name,
        })
    }

    /// Options and results, whose tags are fixed atoms.
    fn tagged(
        &mut self,
        cases: &Cases,
        bytes: &[u8],
        tags: [rustler::Atom; 2],
    ) -> Result<Term<'e>> {
        let index = flat::tag(cases, bytes);
        let case = flat::case(cases, index)?;
        let tag = tags[index.min(1)];
        Ok(match &case.payload {
            Some(payload) => {
                let payload = self.value(payload, &bytes[cases.payload_offset..])?;
                (tag, payload).encode(self.env)
            }
            None => tag.encode(self.env),
        })
    }
}

fn pair(bytes: &[u8]) -> (usize, usize) {
    (
        numbers::read(bytes, 4) as usize,
        numbers::read(&bytes[4..], 4) as usize,
    )
}

fn put<'a>(map: Term<'a>, key: Term<'a>, value: Term<'a>) -> Result<Term<'a>> {
    map.map_put(key, value)
        .map_err(|_| wasmtime::Error::msg("a map can't be made"))
}
