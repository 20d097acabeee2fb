//! Decodes terms into an [`Image`]. They are fully checked before the guest sees any of them.

mod cases;
mod lists;
mod records;
mod resources;
mod scalars;

use crate::component::lower::image::Image;
use crate::component::mapping::Mapping;
use crate::component::problem::{Checked, Problem, ProblemKind};
use crate::component::signature::Resources;
use crate::component::types::numbers::{self, NoNumber};
use crate::component::types::shape::{Kind, Shape};
use crate::vm::term_box::TermBox;
use rustler::Term;

/// Writes terms into an image.
pub struct Decoder<'d> {
    /// The image so far.
    pub image: Image,
    /// How strictly terms are read.
    pub mapping: Mapping,
    /// The resources expected in the values.
    pub resources: &'d Resources,
    /// The store that handles must belong to.
    pub store: u64,
}

impl<'d> Decoder<'d> {
    /// An image whose root takes `size` bytes.
    pub fn new(size: usize, mapping: Mapping, resources: &'d Resources, store: u64) -> Self {
        Decoder {
            image: Image::new(size),
            mapping,
            resources,
            store,
        }
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

    fn write(&mut self, blob: usize, at: usize, bits: u64, size: usize) {
        numbers::write(&mut self.image.blobs[blob].bytes[at..], bits, size);
    }
}

fn no_number(why: NoNumber, expected: &str, term: Term) -> Box<Problem> {
    match why {
        NoNumber::Kind => Problem::kind(expected, term),
        NoNumber::Range => Problem::new(ProblemKind::Range {
            expected: expected.into(),
            got: TermBox::new(term),
        }),
    }
}
