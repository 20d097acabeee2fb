//! Decodes terms into an [`Image`]. They are fully checked before the guest sees any of them.

mod cases;
mod integers;
mod lists;
mod places;
mod records;
mod resources;
mod scalars;

use crate::component::lower::decode::places::Places;
use crate::component::lower::image::Image;
use crate::component::mapping::Mapping;
use crate::component::problem::{Checked, Problem, ProblemKind};
use crate::component::signature::Resources;
use crate::component::types::numbers::{self, NoNumber};
use crate::component::types::shape::{Kind, Shape};
use crate::vm::dirty;
use crate::vm::weight;
use rustler::Term;

/// Writes terms into an image.
pub struct Decoder<'d> {
    /// The image so far. Boxed: it is large and would otherwise be moved several times.
    pub image: Box<Image>,
    /// How strictly terms are read.
    pub mapping: Mapping,
    /// The resources expected in the values.
    pub resources: &'d Resources,
    /// The store that handles must belong to.
    pub store: u64,
    /// Whether large values end with [`ProblemKind::Large`] on a normal scheduler, so that they are decoded on a dirty
    /// one.
    pub may_move: bool,
    /// What may still be decoded on a normal scheduler.
    left: usize,
    /// Where the fields of records are in maps.
    places: Places,
}

/// Numbers in lists, in bytes, that are decoded and copied to the guest in a millisecond.
const NUMBERS: usize = 1 << 20;
/// Other values take longer for each byte,
const OTHERS: usize = 8;
/// and bytes that are only copied less, but the system may be slow to supply pages.
const COPIED: usize = 2;

impl<'d> Decoder<'d> {
    /// An image whose root takes `size` bytes.
    pub fn new(size: usize, mapping: Mapping, resources: &'d Resources, store: u64) -> Self {
        Decoder {
            image: Box::new(Image::new(size)),
            mapping,
            resources,
            store,
            may_move: false,
            left: NUMBERS,
            places: Places::default(),
        }
    }

    /// Counts bytes that are written.
    fn spend(&mut self, bytes: usize) -> Checked<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None if self.may_move && dirty::is_normal() => {
                return Err(Problem::new(ProblemKind::Large));
            }
            None => {
                self.left = usize::MAX;
                self.image.is_large = true;
            }
        }
        Ok(())
    }

    /// Writes the term as a value of this shape into the blob at the offset.
    pub fn value(&mut self, term: Term, shape: &Shape, blob: usize, at: usize) -> Checked<()> {
        match &shape.kind {
            Kind::Number(number) => {
                let bits = number
                    .decode(term, self.mapping.lenient)
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
            Kind::Record(record) => self.record(term, &record.fields, blob, at),
            Kind::Tuple(_) => self.tuple(term, shape, blob, at),
            Kind::Variant(cases) => self.variant(term, cases, blob, at),
            Kind::Enum(cases) => self.enumeration(term, cases, blob, at),
            Kind::Option(cases) => self.option(term, cases, blob, at),
            Kind::Result(cases) => self.result(term, cases, blob, at),
            Kind::Flags(_) => self.flags(term, shape, blob, at),
            Kind::Resource(resource) => self.resource(term, resource, blob, at),
        }
    }

    #[inline]
    fn write(&mut self, blob: usize, at: usize, bits: u64, size: usize) {
        let bytes: &mut [u8] = &mut self.image.blobs[blob].bytes;
        numbers::write(&mut bytes[at..], bits, size);
    }
}

fn no_number(why: NoNumber, expected: &str, term: Term) -> Box<Problem> {
    match why {
        NoNumber::Kind => Problem::kind(expected, term),
        NoNumber::Range => Problem::new(ProblemKind::Range {
            expected: expected.into(),
            got: weight::shown(term),
        }),
    }
}
