//! The types of a component, prepared for conversion: names as terms, offsets as numbers.

use super::names::{self, Name};
use super::numbers::Number;
use super::shared::Shared;
use rustler::Term;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmtime::component::__internal::wasmtime_environ::component::TypeResourceTableIndex;
use wasmtime::component::__internal::{CanonicalAbiInfo, ComponentTypes, InterfaceType};

/// Types nested deeper than this are refused: conversions recurse as deep as the type is.
const MAX_DEPTH: usize = 100;

/// Records of more fields are refused: to find them in a map that has other keys takes their square.
const MAX_FIELDS: usize = 1_000;

/// Bytes of a word of the VM, of a cell of a list, and of an entry of a map of any size.
const WORD: usize = 8;
pub const LIST_CELL: usize = 2 * WORD;
pub const MAP_ENTRY: usize = 64 * WORD;

pub struct Shape {
    pub kind: Kind,
    /// In a guest's memory (canonical ABI, 32 bits).
    pub size: usize,
    pub align: usize,
    /// Core values it takes when it travels without memory; `None` for more than fit.
    pub flat: Option<usize>,
    depth: usize,
    /// What a value costs as a term, in bytes, apart from what its lists, maps and strings hold.
    pub weight: usize,
    /// Whether values hold pointers or handles, anywhere inside.
    pub indirect: bool,
}

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

pub struct Record {
    pub fields: Box<[Field]>,
    /// Their numbers in the order of their names, in which the VM makes a map with the fewest comparisons.
    pub by_name: Box<[usize]>,
}

pub struct Field {
    pub name: Name,
    pub item: Item,
    /// Where a map had it last, in the order of its keys, which is the same for maps of the same keys.
    place: AtomicUsize,
}

impl Record {
    fn new(fields: Vec<Field>) -> Self {
        let mut by_name: Vec<usize> = (0..fields.len()).collect();
        by_name.sort_by(|a, b| fields[*a].name.text.cmp(&fields[*b].name.text));
        Record {
            fields: fields.into(),
            by_name: by_name.into(),
        }
    }
}

impl Field {
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

pub struct Item {
    pub offset: usize,
    pub shape: Arc<Shape>,
}

pub struct Cases {
    pub cases: Box<[Case]>,
    /// The numbers of the cases by their names, where there are many.
    by_name: Option<HashMap<Box<str>, usize>>,
    /// Bytes of the number of the case.
    pub tag_size: usize,
    pub payload_offset: usize,
}

/// More cases than this are not searched one by one.
const MANY: usize = 16;

impl Cases {
    /// The number of the case of this name, in the spelling of WIT, of Elixir or the one that it was given.
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

pub struct Case {
    pub name: Name,
    pub payload: Option<Arc<Shape>>,
}

pub struct Resource {
    pub ty: InterfaceType,
    pub table: TypeResourceTableIndex,
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

/// Makes shapes, each type once: a type that is used twice is one shape, or a small component could
/// describe an enormous one.
pub struct Builder<'a> {
    pub types: &'a ComponentTypes,
    pub shared: &'a Shared,
    pub shapes: &'a mut HashMap<InterfaceType, Arc<Shape>>,
}

impl Builder<'_> {
    pub fn shape(&mut self, ty: InterfaceType, depth: usize) -> wasmtime::Result<Arc<Shape>> {
        if let Some(shape) = self.shapes.get(&ty) {
            return Ok(shape.clone());
        }
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let kind = self.kind(ty, depth + 1)?;
        let abi = self.types.canonical_abi(&ty);
        let (inner, indirect) = inside(&kind);
        let weight = weight(&kind);
        if inner >= MAX_DEPTH {
            return Err(too_deep());
        }
        let shape = Arc::new(Shape {
            kind,
            size: abi.size32 as usize,
            align: abi.align32 as usize,
            flat: abi.flat_count.map(usize::from),
            depth: inner + 1,
            weight,
            indirect,
        });
        self.shapes.insert(ty, shape.clone());
        Ok(shape)
    }

    fn kind(&mut self, ty: InterfaceType, depth: usize) -> wasmtime::Result<Kind> {
        let types = self.types;
        Ok(match ty {
            InterfaceType::Bool => Kind::Bool,
            InterfaceType::S8 => Kind::Number(Number::S8),
            InterfaceType::U8 => Kind::Number(Number::U8),
            InterfaceType::S16 => Kind::Number(Number::S16),
            InterfaceType::U16 => Kind::Number(Number::U16),
            InterfaceType::S32 => Kind::Number(Number::S32),
            InterfaceType::U32 => Kind::Number(Number::U32),
            InterfaceType::S64 => Kind::Number(Number::S64),
            InterfaceType::U64 => Kind::Number(Number::U64),
            InterfaceType::Float32 => Kind::Number(Number::F32),
            InterfaceType::Float64 => Kind::Number(Number::F64),
            InterfaceType::Char => Kind::Char,
            InterfaceType::String => Kind::String,
            InterfaceType::List(index) => Kind::List(self.shape(types[index].element, depth)?),
            InterfaceType::FixedLengthList(index) => Kind::FixedList(
                self.shape(types[index].element, depth)?,
                types[index].size as usize,
            ),
            InterfaceType::Map(index) => self.map(types[index].key, types[index].value, depth)?,
            InterfaceType::Record(index) if types[index].fields.len() > MAX_FIELDS => {
                return Err(wasmtime::Error::msg(format!(
                    "a record has more than {MAX_FIELDS} fields"
                )));
            }
            InterfaceType::Record(index) => {
                let mut offset = 0;
                let mut fields = Vec::new();
                for field in types[index].fields.iter() {
                    fields.push(Field {
                        name: self.shared.name(&field.name),
                        item: self.item(field.ty, &mut offset, depth)?,
                        place: AtomicUsize::new(fields.len()),
                    });
                }
                Kind::Record(Record::new(fields))
            }
            InterfaceType::Tuple(index) => Kind::Tuple(self.items(&types[index].types, depth)?),
            InterfaceType::Variant(index) => {
                let variant = &types[index];
                let cases = variant.cases.iter().map(|(name, ty)| (name.as_str(), *ty));
                let info = &variant.info;
                Kind::Variant(self.cases(cases, info.size.into(), info.payload_offset32, depth)?)
            }
            InterfaceType::Enum(index) => {
                let names = types[index].names.iter().map(|name| (name.as_str(), None));
                let info = &types[index].info;
                Kind::Enum(self.cases(names, info.size.into(), info.payload_offset32, depth)?)
            }
            InterfaceType::Option(index) => {
                let cases = [("none", None), ("some", Some(types[index].ty))];
                let info = &types[index].info;
                let (size, offset) = (info.size.into(), info.payload_offset32);
                Kind::Option(self.cases(cases.into_iter(), size, offset, depth)?)
            }
            InterfaceType::Result(index) => {
                let cases = [("ok", types[index].ok), ("error", types[index].err)];
                let info = &types[index].info;
                let (size, offset) = (info.size.into(), info.payload_offset32);
                Kind::Result(self.cases(cases.into_iter(), size, offset, depth)?)
            }
            InterfaceType::Flags(index) => Kind::Flags(
                types[index]
                    .names
                    .iter()
                    .map(|name| self.shared.name(name))
                    .collect(),
            ),
            InterfaceType::Own(table) => Kind::Resource(Resource {
                ty,
                table,
                owned: true,
            }),
            InterfaceType::Borrow(table) => Kind::Resource(Resource {
                ty,
                table,
                owned: false,
            }),
            InterfaceType::Future(_)
            | InterfaceType::Stream(_)
            | InterfaceType::ErrorContext(_) => {
                return Err(wasmtime::Error::msg(
                    "futures, streams and error contexts are not supported",
                ));
            }
        })
    }

    fn items(&mut self, list: &[InterfaceType], depth: usize) -> wasmtime::Result<Box<[Item]>> {
        let mut offset = 0;
        list.iter()
            .map(|ty| self.item(*ty, &mut offset, depth))
            .collect()
    }

    fn item(
        &mut self,
        ty: InterfaceType,
        offset: &mut usize,
        depth: usize,
    ) -> wasmtime::Result<Item> {
        let shape = self.shape(ty, depth)?;
        Ok(Item {
            offset: self.types.canonical_abi(&ty).next_field32_size(offset),
            shape,
        })
    }

    /// An entry is a tuple, which need not be among the component's own types.
    fn map(
        &mut self,
        key: InterfaceType,
        value: InterfaceType,
        depth: usize,
    ) -> wasmtime::Result<Kind> {
        let items = self.items(&[key, value], depth)?;
        let abis = [key, value].map(|ty| self.types.canonical_abi(&ty).clone());
        let abi = CanonicalAbiInfo::record(abis.iter());
        let kind = Kind::Tuple(items);
        let (inner, indirect) = inside(&kind);
        Ok(Kind::Map(Arc::new(Shape {
            weight: weight(&kind),
            kind,
            size: abi.size32 as usize,
            align: abi.align32 as usize,
            flat: abi.flat_count.map(usize::from),
            depth: inner + 1,
            indirect,
        })))
    }

    fn cases<'c>(
        &mut self,
        cases: impl Iterator<Item = (&'c str, Option<InterfaceType>)>,
        tag_size: u32,
        payload_offset: u32,
        depth: usize,
    ) -> wasmtime::Result<Cases> {
        let mut list = Vec::new();
        for (name, payload) in cases {
            list.push(Case {
                name: self.shared.name(name),
                payload: payload.map(|ty| self.shape(ty, depth)).transpose()?,
            });
        }
        let many = list.len() > MANY;
        let by_name = many.then(|| {
            let numbered = list.iter().enumerate();
            numbered
                .map(|(index, case)| (case.name.text.clone(), index))
                .collect()
        });
        Ok(Cases {
            by_name,
            cases: list.into(),
            tag_size: tag_size as usize,
            payload_offset: payload_offset as usize,
        })
    }
}

fn too_deep() -> wasmtime::Error {
    wasmtime::Error::msg(format!("the type is nested more than {MAX_DEPTH} deep"))
}

/// In words of the VM, and what it takes to make them: the key of a field costs nothing, a search for its place does.
fn weight(kind: &Kind) -> usize {
    let sum = |shapes: &mut dyn Iterator<Item = &Arc<Shape>>, each: usize| {
        shapes.fold(WORD, |sum, shape| {
            sum.saturating_add(shape.weight).saturating_add(each)
        })
    };
    match kind {
        Kind::Bool | Kind::Enum(_) => 0,
        Kind::Number(Number::F32) => 2 * WORD,
        Kind::Number(number) if number.size() < 8 => 0,
        Kind::Number(_) => 2 * WORD,
        Kind::Char | Kind::String => 6 * WORD,
        Kind::List(_) | Kind::Map(_) => WORD,
        Kind::FixedList(element, length) => LIST_CELL
            .saturating_add(element.weight)
            .saturating_mul(*length),
        Kind::Record(record) => sum(
            &mut record.fields.iter().map(|field| &field.item.shape),
            3 * WORD,
        ),
        Kind::Tuple(items) => sum(&mut items.iter().map(|item| &item.shape), WORD),
        Kind::Variant(cases) | Kind::Option(cases) | Kind::Result(cases) => {
            let payloads = cases.cases.iter().filter_map(|case| case.payload.as_ref());
            payloads
                .map(|shape| shape.weight)
                .max()
                .map_or(0, |most| most.saturating_add(3 * WORD))
        }
        Kind::Flags(names) => names.len() * 6 * WORD,
        // With what the library keeps of it.
        Kind::Resource(_) => 32 * WORD,
    }
}

/// How deep the deepest part is, and whether one is indirect.
fn inside(kind: &Kind) -> (usize, bool) {
    let most = |shapes: &mut dyn Iterator<Item = &Arc<Shape>>| {
        shapes.fold((0, false), |(depth, indirect), shape| {
            (depth.max(shape.depth), indirect || shape.indirect)
        })
    };
    match kind {
        Kind::String | Kind::Resource(_) => (0, true),
        Kind::List(element) | Kind::Map(element) => (element.depth, true),
        Kind::FixedList(element, _) => (element.depth, element.indirect),
        Kind::Record(record) => most(&mut record.fields.iter().map(|field| &field.item.shape)),
        Kind::Tuple(items) => most(&mut items.iter().map(|item| &item.shape)),
        Kind::Variant(cases) | Kind::Option(cases) | Kind::Result(cases) => {
            most(&mut cases.cases.iter().filter_map(|case| case.payload.as_ref()))
        }
        Kind::Bool | Kind::Number(_) | Kind::Char | Kind::Enum(_) | Kind::Flags(_) => (0, false),
    }
}
