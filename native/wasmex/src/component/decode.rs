//! Terms into an [`Image`]: checked completely before the guest sees anything of them.

use super::handle::{HandleResource, Passed};
use super::image::{Hosted, Image, Target};
use super::names::Spelling;
use super::numbers::{self, NoNumber};
use super::problem::{Checked, Problem, Step, What};
use super::shape::{Case, Cases, Field, Kind, Resource, Shape};
use super::style::Style;
use crate::atoms;
use crate::term_box::TermBox;
use crate::values;
use rustler::{Atom, Binary, ListIterator, MapIterator, Term, TermType};
use std::collections::HashMap;
use wasmtime::component::__internal::wasmtime_environ::component::TypeResourceTableIndex;
use wasmtime::component::ResourceType;

/// The most bytes that a list may take: what a 32-bit memory can hold, with room for others.
const MAX_LIST: usize = 1 << 31;

/// What a place for a resource takes: of which type, and the id of the type when Elixir implements it.
pub type Resources = HashMap<TypeResourceTableIndex, (ResourceType, Option<u32>)>;

pub struct Decoder<'d> {
    pub image: Image,
    pub style: Style,
    pub resources: &'d Resources,
    /// The store that handles must belong to.
    pub store: u64,
    spelling: Spelling,
}

impl<'d> Decoder<'d> {
    pub fn new(size: usize, style: Style, resources: &'d Resources, store: u64) -> Self {
        Decoder {
            image: Image::new(size),
            style,
            resources,
            store,
            spelling: Spelling::Given,
        }
    }

    /// The term as a value of this shape, written to the blob at the offset.
    pub fn value(&mut self, term: Term, shape: &Shape, blob: usize, at: usize) -> Checked<()> {
        match &shape.kind {
            Kind::Number(number) => {
                let bits = number
                    .decode(term, self.style.lenient)
                    .map_err(|why| no_number(why, number.name(), term))?;
                self.write(blob, at, bits, number.size());
                Ok(())
            }
            Kind::Bool => self.bool(term, blob, at),
            Kind::Char => self.char(term, blob, at),
            Kind::String => self.string(term, blob, at),
            Kind::List(element) => self.list(term, element, blob, at),
            Kind::FixedList(element, length) => self.fixed_list(term, element, *length, blob, at),
            Kind::Map(entry) => self.map(term, entry, blob, at),
            Kind::Record(fields) => self.record(term, fields, blob, at),
            Kind::Tuple(_) => self.tuple(term, shape, blob, at),
            Kind::Variant(cases) => self.variant(term, cases, blob, at),
            Kind::Enum(cases) => self.enumeration(term, cases, blob, at),
            Kind::Option(cases) => self.option(term, cases, blob, at),
            Kind::Result(cases) => self.result(term, cases, blob, at),
            Kind::Flags(_) => self.flags(term, shape, blob, at),
            Kind::Resource(resource) => self.resource(term, resource, blob, at),
        }
    }

    fn write(&mut self, blob: usize, at: usize, bits: u64, size: usize) {
        numbers::write(&mut self.image.blobs[blob].bytes[at..], bits, size);
    }

    fn bool(&mut self, term: Term, blob: usize, at: usize) -> Checked<()> {
        let value = match term.decode::<bool>() {
            Ok(value) => value,
            Err(_) if self.style.lenient => numbers::truthy(term),
            Err(_) => return Err(Problem::kind("bool", term)),
        };
        self.write(blob, at, u64::from(value), 1);
        Ok(())
    }

    /// A string of one character, a code point, or a charlist of one.
    fn char(&mut self, term: Term, blob: usize, at: usize) -> Checked<()> {
        let wrong = || Problem::kind("char", term);
        let value = if let Ok(text) = term.decode::<&str>() {
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (Some(character), None) => u32::from(character),
                _ => return Err(wrong()),
            }
        } else if term.is_list() {
            match term.decode::<Vec<u32>>().as_deref() {
                Ok([code]) => *code,
                _ => return Err(wrong()),
            }
        } else {
            term.decode::<u32>().map_err(|_| wrong())?
        };
        if char::from_u32(value).is_none() {
            return Err(Problem::new(What::Range {
                wanted: "char".into(),
                given: TermBox::new(term),
            }));
        }
        self.write(blob, at, u64::from(value), 4);
        Ok(())
    }

    fn string(&mut self, term: Term, blob: usize, at: usize) -> Checked<()> {
        let chunk = if let Ok(binary) = Binary::from_term(term) {
            if let Err(error) = std::str::from_utf8(&binary) {
                let offset = error.valid_up_to();
                return Err(Problem::new(What::Utf8 { offset }));
            }
            self.image.chunk(term, &binary)
        } else if self.style.lenient && term.is_atom() {
            let name = term.atom_to_string().unwrap_or_default();
            self.image.text(name.as_bytes())
        } else {
            return Err(Problem::kind("string", term));
        };
        self.image.link(blob, at, Target::Text(chunk));
        Ok(())
    }

    fn list(&mut self, term: Term, element: &Shape, blob: usize, at: usize) -> Checked<()> {
        if element.is_byte()
            && let Ok(binary) = Binary::from_term(term)
        {
            let chunk = self.image.chunk(term, &binary);
            self.image.link(blob, at, Target::Bytes(chunk));
            return Ok(());
        }
        let (iterator, length) = self.list_of(term, || format!("list<{}>", element.describe()))?;
        let list = self.room(length, element, term)?;
        self.elements(iterator, element, list)?;
        let length = length as u32;
        let blob_index = list as u32;
        self.image.link(
            blob,
            at,
            Target::List {
                blob: blob_index,
                length,
            },
        );
        Ok(())
    }

    fn list_of<'a>(
        &self,
        term: Term<'a>,
        wanted: impl Fn() -> String,
    ) -> Checked<(ListIterator<'a>, usize)> {
        match (term.decode::<ListIterator>(), term.list_length()) {
            (Ok(iterator), Ok(length)) => Ok((iterator, length)),
            _ => Err(Problem::kind(wanted(), term)),
        }
    }

    fn room(&mut self, length: usize, element: &Shape, term: Term) -> Checked<usize> {
        match length.checked_mul(element.size) {
            Some(size) if size < MAX_LIST => Ok(self.image.blob(size, element.align)),
            _ => Err(Problem::kind("list that fits a 32-bit memory", term)),
        }
    }

    fn elements(&mut self, list: ListIterator, element: &Shape, blob: usize) -> Checked<()> {
        if let Kind::Number(number) = element.kind {
            let lenient = self.style.lenient;
            let bytes = &mut self.image.blobs[blob].bytes;
            for (index, (term, slot)) in list.zip(bytes.chunks_exact_mut(element.size)).enumerate()
            {
                let bits = number
                    .decode(term, lenient)
                    .map_err(|why| no_number(why, number.name(), term).at(Step::Item(index)))?;
                numbers::write(slot, bits, element.size);
            }
            return Ok(());
        }
        for (index, term) in list.enumerate() {
            self.value(term, element, blob, index * element.size)
                .map_err(|problem| problem.at(Step::Item(index)))?;
        }
        Ok(())
    }

    fn fixed_list(
        &mut self,
        term: Term,
        element: &Shape,
        wanted: usize,
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        let (iterator, given) =
            self.list_of(term, || format!("list<{}, {wanted}>", element.describe()))?;
        if given != wanted {
            return Err(Problem::new(What::Length { wanted, given }));
        }
        for (index, term) in iterator.enumerate() {
            self.value(term, element, blob, at + index * element.size)
                .map_err(|problem| problem.at(Step::Item(index)))?;
        }
        Ok(())
    }

    fn map(&mut self, term: Term, entry: &Shape, blob: usize, at: usize) -> Checked<()> {
        let Some(iterator) = MapIterator::new(term) else {
            return Err(Problem::kind("map", term));
        };
        let length = term.map_size().unwrap_or(0);
        let list = self.room(length, entry, term)?;
        if let [key, value] = entry.items() {
            for (index, (key_term, value_term)) in iterator.enumerate() {
                let start = index * entry.size;
                self.value(key_term, &key.shape, list, start + key.offset)
                    .map_err(|problem| problem.at(Step::Key(index)))?;
                self.value(value_term, &value.shape, list, start + value.offset)
                    .map_err(|problem| problem.at(Step::Value(index)))?;
            }
        }
        self.image.link(
            blob,
            at,
            Target::List {
                blob: list as u32,
                length: length as u32,
            },
        );
        Ok(())
    }

    fn record(&mut self, term: Term, fields: &[Field], blob: usize, at: usize) -> Checked<()> {
        if !term.is_map() {
            return Err(Problem::kind("record", term));
        }
        let mut found = 0;
        for field in fields {
            if let Some(value) = field.name.look_up(term, &mut self.spelling) {
                found += 1;
                self.value(value, &field.item.shape, blob, at + field.item.offset)
                    .map_err(|problem| problem.at(Step::Field(field.name.text.clone())))?;
            }
        }
        let size = term.map_size().unwrap_or(found);
        if found == fields.len() && (self.style.lenient || size == found) {
            return Ok(());
        }
        self.fields(term, fields)
    }

    /// Names the fields that are missing and the keys that are none.
    fn fields(&self, term: Term, fields: &[Field]) -> Checked<()> {
        let missing: Vec<String> = fields
            .iter()
            .filter(|field| field.name.look_up(term, &mut { Spelling::Text }).is_none())
            .map(|field| field.name.text.to_string())
            .collect();
        let mut unknown = Vec::new();
        if !self.style.lenient {
            for (key, _) in MapIterator::new(term).into_iter().flatten() {
                let is_struct = key
                    .decode::<Atom>()
                    .is_ok_and(|key| key == atoms::struct_());
                if !is_struct && !fields.iter().any(|field| field.name.is(key)) {
                    unknown.push(TermBox::new(key));
                }
            }
        }
        if missing.is_empty() && unknown.is_empty() {
            return Ok(());
        }
        Err(Problem::new(What::Fields {
            expected: fields.len(),
            missing,
            unknown,
            names: fields
                .iter()
                .map(|field| field.name.text.to_string())
                .collect(),
        }))
    }

    fn tuple(&mut self, term: Term, shape: &Shape, blob: usize, at: usize) -> Checked<()> {
        let items = shape.items();
        let Ok(terms) = rustler::types::tuple::get_tuple(term) else {
            return Err(Problem::kind(shape.describe(), term));
        };
        let fits = match self.style.lenient {
            true => terms.len() >= items.len(),
            false => terms.len() == items.len(),
        };
        if !fits {
            return Err(Problem::new(What::Length {
                wanted: items.len(),
                given: terms.len(),
            }));
        }
        for (index, (term, item)) in terms.into_iter().zip(items).enumerate() {
            self.value(term, &item.shape, blob, at + item.offset)
                .map_err(|problem| problem.at(Step::Element(index)))?;
        }
        Ok(())
    }

    fn variant(&mut self, term: Term, cases: &Cases, blob: usize, at: usize) -> Checked<()> {
        let (tag, payload) = match pair(term) {
            Some((tag, payload)) => (tag, Some(payload)),
            None => (term, None),
        };
        if !tag.is_atom() && (!tag.is_binary() || (self.style.lenient && payload.is_some())) {
            return Err(Problem::kind("variant", term));
        }
        let (index, case) = find_case(cases, tag, "variant")?;
        self.tag(index, cases, blob, at);
        self.payload(case, payload, cases, blob, at)
    }

    fn payload(
        &mut self,
        case: &Case,
        payload: Option<Term>,
        cases: &Cases,
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        let step = || Step::Case(case.name.text.clone());
        match (&case.payload, payload) {
            (Some(shape), Some(term)) => self
                .value(term, shape, blob, at + cases.payload_offset)
                .map_err(|problem| problem.at(step())),
            (None, None) => Ok(()),
            (None, Some(_)) if self.style.lenient => Ok(()),
            (wanted, _) => Err(Problem::new(What::Payload {
                case: case.name.text.to_string(),
                wanted: wanted.is_some(),
            })),
        }
    }

    fn tag(&mut self, index: usize, cases: &Cases, blob: usize, at: usize) {
        self.write(blob, at, index as u64, cases.tag_size);
    }

    fn enumeration(&mut self, term: Term, cases: &Cases, blob: usize, at: usize) -> Checked<()> {
        if !term.is_atom() && !term.is_binary() {
            return Err(Problem::kind("enum", term));
        }
        let (index, _) = find_case(cases, term, "enum")?;
        self.tag(index, cases, blob, at);
        Ok(())
    }

    /// `:none` or `{:some, value}`
    fn option(&mut self, term: Term, cases: &Cases, blob: usize, at: usize) -> Checked<()> {
        let wrong = || Problem::kind("option", term);
        if is(term, atoms::none()) {
            self.tag(0, cases, blob, at);
            return Ok(());
        }
        let (tag, payload) = pair(term).ok_or_else(wrong)?;
        if !is(tag, atoms::some()) {
            return Err(wrong());
        }
        self.tag(1, cases, blob, at);
        self.payload(&cases.cases[1], Some(payload), cases, blob, at)
    }

    /// `{:ok, value}`, `{:error, value}`, bare where the case has no payload.
    fn result(&mut self, term: Term, cases: &Cases, blob: usize, at: usize) -> Checked<()> {
        let (tag, payload) = match pair(term) {
            Some((tag, payload)) => (tag, Some(payload)),
            None => (term, None),
        };
        let index = if is(tag, atoms::ok()) {
            0
        } else if is(tag, atoms::error()) {
            1
        } else {
            return Err(Problem::kind("result", term));
        };
        let case = &cases.cases[index];
        if case.payload.is_none() && payload.is_some() {
            return Err(Problem::new(What::Payload {
                case: case.name.text.to_string(),
                wanted: false,
            }));
        }
        self.tag(index, cases, blob, at);
        self.payload(case, payload, cases, blob, at)
    }

    /// A map of names and booleans, or a list of names.
    fn flags(&mut self, term: Term, shape: &Shape, blob: usize, at: usize) -> Checked<()> {
        let Kind::Flags(names) = &shape.kind else {
            return Ok(());
        };
        let mut bits = 0;
        let mut set = |name: Term, on: bool| match names.iter().position(|known| known.is(name)) {
            Some(index) => {
                bits |= u64::from(on) << index;
                Ok(())
            }
            None => Err(Problem::new(What::Case {
                of: "flags",
                given: TermBox::new(name),
                names: names.iter().map(|name| name.text.to_string()).collect(),
            })),
        };
        if let Some(iterator) = MapIterator::new(term) {
            for (name, value) in iterator {
                let on = value
                    .decode::<bool>()
                    .map_err(|_| Problem::kind("bool", value))?;
                set(name, on)?;
            }
        } else if let Ok(iterator) = term.decode::<ListIterator>() {
            for name in iterator {
                set(name, true)?;
            }
        } else {
            return Err(Problem::kind("flags", term));
        }
        self.write(blob, at, bits, shape.size);
        Ok(())
    }

    fn resource(&mut self, term: Term, resource: &Resource, blob: usize, at: usize) -> Checked<()> {
        let wrong = |why| Problem::new(What::Handle(why));
        let Some((ty, host)) = self.resources.get(&resource.table) else {
            return Err(wrong("Guest resource argument has the wrong resource type"));
        };
        let target = if let Some(id) = host {
            self.image.hosted.push(Hosted {
                term: Some(TermBox::new(term)),
                id: *id,
                owned: resource.owned,
                rep: 0,
            });
            Target::Hosted {
                index: self.image.hosted.len() as u32 - 1,
                ty: resource.ty,
            }
        } else {
            let handle = values::resource::<HandleResource>(term)
                .ok_or_else(|| Problem::kind("resource", term))?;
            if handle.cell.id != self.store {
                return Err(wrong("The guest resource belongs to another store"));
            }
            if handle.ty != *ty {
                return Err(wrong("Guest resource argument has the wrong resource type"));
            }
            self.image.handles.push(Passed::new(handle, resource.owned));
            Target::Handle {
                index: self.image.handles.len() as u32 - 1,
                ty: resource.ty,
            }
        };
        self.image.link(blob, at, target);
        Ok(())
    }
}

fn no_number(why: NoNumber, wanted: &str, term: Term) -> Box<Problem> {
    match why {
        NoNumber::Kind => Problem::kind(wanted, term),
        NoNumber::Range => Problem::new(What::Range {
            wanted: wanted.into(),
            given: TermBox::new(term),
        }),
    }
}

fn is(term: Term, atom: Atom) -> bool {
    term.get_type() == TermType::Atom && term.decode::<Atom>().is_ok_and(|given| given == atom)
}

fn pair(term: Term) -> Option<(Term, Term)> {
    term.decode::<(Term, Term)>().ok()
}

fn find_case<'c>(cases: &'c Cases, tag: Term, of: &'static str) -> Checked<(usize, &'c Case)> {
    cases
        .cases
        .iter()
        .enumerate()
        .find(|(_, case)| case.name.is(tag))
        .ok_or_else(|| {
            Problem::new(What::Case {
                of,
                given: TermBox::new(tag),
                names: cases
                    .cases
                    .iter()
                    .map(|case| case.name.text.to_string())
                    .collect(),
            })
        })
}
