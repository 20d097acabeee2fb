//! The types of a component, prepared for conversion: names as terms, offsets as numbers.

use crate::component::internal::InterfaceType;
use crate::component::internal::TypeResourceTableIndex;
use crate::component::mapping::Mapping;
use crate::component::types::names::{self, Name};
use crate::component::types::numbers::Number;
use crate::component::types::record_keys::RecordKeys;
use crate::vm::small_map::{Keys, SmallMap};
use rustler::sys::ErlNifTerm;
use rustler::{Env, Term};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A type, prepared for conversion.
pub struct Shape {
    /// Its kind.
    pub kind: Kind,
    /// Size in a guest's memory (canonical ABI, 32 bits).
    pub size: usize,
    /// Alignment.
    pub align: usize,
    /// Number of core values when passed without memory; `None` if too many.
    pub flat: Option<usize>,
    /// Nesting depth.
    pub depth: usize,
    /// Bytes of a value as a term, without the contents of its lists, maps and strings.
    pub weight: usize,
    /// Whether values contain pointers or handles, at any depth.
    pub indirect: bool,
    /// Whether values contain handles, at any depth.
    pub handles: bool,
}

/// The kind of type, with the data for conversion.
pub enum Kind {
    Bool,
    Number(Number),
    Char,
    String,
    List(Arc<Shape>),
    /// The shape of an entry, a tuple of key and value.
    Map(Arc<Shape>),
    FixedList(Arc<Shape>, usize),
    Record(Record),
    Tuple(Box<[Item]>),
    Variant(Cases),
    Enum(Cases),
    /// Cases `none` and `some`.
    Option(Cases),
    /// Cases `ok` and `error`.
    Result(Cases),
    Flags(Box<[Name]>),
    Resource(Resource),
}

/// The fields of a record.
pub struct Record {
    /// In the order of the type.
    pub fields: Box<[Field]>,
    /// Their indices in the order of their names, in which the VM makes a map with the fewest comparisons.
    pub by_name: Box<[usize]>,
    keys: RecordKeys,
}

/// A field of a record.
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Its type and offset.
    pub item: Item,
    /// Its position in the last map, in key order, which is the same for maps with the same keys.
    place: AtomicUsize,
}

impl Record {
    /// Of these fields, in the order of the type.
    pub fn new(fields: Vec<Field>) -> Self {
        let mut by_name: Vec<usize> = (0..fields.len()).collect();
        by_name.sort_by(|a, b| fields[*a].name.text.cmp(&fields[*b].name.text));
        Record {
            fields: fields.into(),
            by_name: by_name.into(),
            keys: RecordKeys::default(),
        }
    }

    /// The keys of maps made from it, `None` if its maps are made by the VM's interface.
    pub fn keys(&self, env: Env, mapping: Mapping) -> Option<&Keys> {
        let names = self.fields.iter().map(|field| &field.name);
        self.keys.get(names, env, mapping)
    }
}

impl Field {
    /// `place` is the position to try first.
    pub fn new(name: Name, item: Item, place: usize) -> Self {
        Field {
            name,
            item,
            place: AtomicUsize::new(place),
        }
    }

    /// Its value among a map's entries; the first if several spellings of its name occur.
    pub fn find<'a>(&self, entries: &[(Term<'a>, Term<'a>)]) -> Option<Term<'a>> {
        let place = self.position(entries)?;
        Some(entries[place].1)
    }

    /// The same for a map with as many keys as the record has fields, where only one spelling can occur.
    pub fn find_only<'a>(&self, entries: &[(Term<'a>, Term<'a>)]) -> Option<Term<'a>> {
        let place = self.place.load(Ordering::Relaxed);
        if let Some((key, value)) = entries.get(place)
            && self.name.is(*key)
        {
            return Some(*value);
        }
        let place = self.position(entries)?;
        self.place.store(place, Ordering::Relaxed);
        Some(entries[place].1)
    }

    /// Its place in a map with as many keys.
    pub fn place_in(&self, env: Env, map: SmallMap) -> Option<usize> {
        // SAFETY: a key of the map, of the same environment.
        let is = |key: &ErlNifTerm| self.name.is(unsafe { Term::new(env, *key) });
        let last = self.place.load(Ordering::Relaxed);
        if map.keys.get(last).is_some_and(is) {
            return Some(last);
        }
        let place = map.keys.iter().position(is)?;
        self.place.store(place, Ordering::Relaxed);
        Some(place)
    }

    fn position(&self, entries: &[(Term, Term)]) -> Option<usize> {
        entries.iter().position(|(key, _)| self.name.is(*key))
    }
}

/// A part of a record or tuple.
pub struct Item {
    /// Its offset.
    pub offset: usize,
    /// Its type.
    pub shape: Arc<Shape>,
}

/// The cases of a variant, enum, option or result.
pub struct Cases {
    /// In the order of the type.
    pub cases: Box<[Case]>,
    /// The indices of the cases by name, if there are many.
    by_name: Option<HashMap<Box<str>, usize>>,
    /// Size of the discriminant in bytes.
    pub tag_size: usize,
    /// Offset of the payload.
    pub payload_offset: usize,
}

/// With more cases than this, names are found through a map.
const MANY: usize = 16;

impl Cases {
    /// Of these cases, in the order of the type.
    pub fn new(cases: Vec<Case>, tag_size: usize, payload_offset: usize) -> Self {
        let by_name = (cases.len() > MANY).then(|| {
            let numbered = cases.iter().enumerate();
            numbered
                .map(|(index, case)| (case.name.text.clone(), index))
                .collect()
        });
        Cases {
            cases: cases.into(),
            by_name,
            tag_size,
            payload_offset,
        }
    }

    /// The index of the case with this name: in WIT spelling, in Elixir spelling, or as the registered atom.
    pub fn find(&self, name: Term) -> Option<usize> {
        let known = self.by_name.as_ref().and_then(|by_name| {
            let text = names::text(name)?;
            let dashed = || by_name.get(text.replace('_', "-").as_str());
            by_name.get(text.as_str()).or_else(dashed).copied()
        });
        let is = |case: &Case| case.name.is(name);
        known
            .filter(|index| is(&self.cases[*index]))
            .or_else(|| self.cases.iter().position(is))
    }
}

/// One case.
pub struct Case {
    /// Its name.
    pub name: Name,
    /// The type of its payload, if any.
    pub payload: Option<Arc<Shape>>,
}

/// A handle of a resource.
pub struct Resource {
    /// `own` or `borrow`.
    pub ty: InterfaceType,
    /// The resource.
    pub table: TypeResourceTableIndex,
    /// Whether it is `own`.
    pub owned: bool,
}

impl Shape {
    /// The offset of each item of a tuple; for parameter lists too, which are tuples to wasmtime.
    pub fn items(&self) -> &[Item] {
        match &self.kind {
            Kind::Tuple(items) => items,
            _ => &[],
        }
    }

    /// Whether it is `u8`, whose lists have forms of their own.
    pub fn is_byte(&self) -> bool {
        matches!(self.kind, Kind::Number(Number::U8))
    }

    /// The resource types inside, each once.
    pub fn resources(&self, found: &mut Vec<TypeResourceTableIndex>) {
        if !self.indirect {
            return;
        }
        match &self.kind {
            Kind::Resource(resource) if found.contains(&resource.table) => {}
            Kind::Resource(resource) => found.push(resource.table),
            Kind::List(element) | Kind::Map(element) | Kind::FixedList(element, _) => {
                element.resources(found);
            }
            Kind::Record(record) => record
                .fields
                .iter()
                .for_each(|f| f.item.shape.resources(found)),
            Kind::Tuple(items) => items.iter().for_each(|item| item.shape.resources(found)),
            Kind::Variant(cases) | Kind::Option(cases) | Kind::Result(cases) => cases
                .cases
                .iter()
                .filter_map(|case| case.payload.as_ref())
                .for_each(|payload| payload.resources(found)),
            _ => {}
        }
    }

    /// WIT syntax, as far as it fits on one line.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Bool => "bool".into(),
            Kind::Number(number) => number.name().into(),
            Kind::Char => "char".into(),
            Kind::String => "string".into(),
            Kind::List(element) => format!("list<{}>", element.describe()),
            Kind::FixedList(element, length) => format!("list<{}, {length}>", element.describe()),
            Kind::Map(_) => "map".into(),
            Kind::Record(_) => "record".into(),
            Kind::Tuple(items) => format!("tuple of {}", items.len()),
            Kind::Variant(_) => "variant".into(),
            Kind::Enum(_) => "enum".into(),
            Kind::Option(_) => "option".into(),
            Kind::Result(_) => "result".into(),
            Kind::Flags(_) => "flags".into(),
            Kind::Resource(resource) if resource.owned => "own resource".into(),
            Kind::Resource(_) => "borrowed resource".into(),
        }
    }
}
