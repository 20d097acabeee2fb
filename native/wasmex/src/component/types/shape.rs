//! The types of a component, prepared for conversion: names as terms, offsets as numbers.

use crate::component::internal::InterfaceType;
use crate::component::internal::TypeResourceTableIndex;
use crate::component::types::names::{self, Name};
use crate::component::types::numbers::Number;
use rustler::Term;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A type, prepared for conversion.
pub struct Shape {
    /// What it is.
    pub kind: Kind,
    /// In a guest's memory (canonical ABI, 32 bits).
    pub size: usize,
    /// The same of its alignment.
    pub align: usize,
    /// Core values it takes when it travels without memory; `None` for more than fit.
    pub flat: Option<usize>,
    /// How deep types are nested in it.
    pub depth: usize,
    /// What a value costs as a term, in bytes, apart from what its lists, maps and strings hold.
    pub weight: usize,
    /// Whether values hold pointers or handles, anywhere inside.
    pub indirect: bool,
}

/// Which kind of type, with what conversion needs of it.
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
    /// Their numbers in the order of their names, in which the VM makes a map with the fewest comparisons.
    pub by_name: Box<[usize]>,
}

/// A field of a record.
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Its type and place.
    pub item: Item,
    /// Where a map had it last, in the order of its keys, which is the same for maps of the same keys.
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
        }
    }
}

impl Field {
    /// `place` is where to look for it first.
    pub fn new(name: Name, item: Item, place: usize) -> Self {
        Field {
            name,
            item,
            place: AtomicUsize::new(place),
        }
    }

    /// Its value among a map's entries, the first if there are several spellings of its name.
    pub fn find<'a>(&self, entries: &[(Term<'a>, Term<'a>)]) -> Option<Term<'a>> {
        let place = self.position(entries)?;
        Some(entries[place].1)
    }

    /// The same where the map has as many keys as the record has fields: then there is but one.
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

    fn position(&self, entries: &[(Term, Term)]) -> Option<usize> {
        entries.iter().position(|(key, _)| self.name.is(*key))
    }
}

/// A part of a record or tuple.
pub struct Item {
    /// Where it begins.
    pub offset: usize,
    /// Its type.
    pub shape: Arc<Shape>,
}

/// The cases of a variant, enum, option or result.
pub struct Cases {
    /// In the order of the type.
    pub cases: Box<[Case]>,
    /// The numbers of the cases by their names, where there are many.
    by_name: Option<HashMap<Box<str>, usize>>,
    /// Bytes of the number of the case.
    pub tag_size: usize,
    /// Where a payload begins.
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

    /// The number of the case of this name, as WIT spells it, as Elixir does, or as the atom that Elixir named for it.
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
    /// The type of its payload, if it has one.
    pub payload: Option<Arc<Shape>>,
}

/// A handle of a resource.
pub struct Resource {
    /// `own` or `borrow` of the resource.
    pub ty: InterfaceType,
    /// The resource.
    pub table: TypeResourceTableIndex,
    /// Whether it is `own`.
    pub owned: bool,
}

impl Shape {
    /// The offset of each item of a tuple; for parameter lists, which are tuples to wasmtime.
    pub fn items(&self) -> &[Item] {
        match &self.kind {
            Kind::Tuple(items) => items,
            _ => &[],
        }
    }

    /// Bytes for messages and for handing out as a binary.
    pub fn is_byte(&self) -> bool {
        matches!(self.kind, Kind::Number(Number::U8))
    }

    /// The resources inside, each of them once per place.
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

    /// In WIT's own words, as far as one line allows.
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
