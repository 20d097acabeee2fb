//! The size of a type's values as terms, and their depth.

use crate::component::types::numbers::Number;
use crate::component::types::shape::{Kind, Shape};
use std::sync::Arc;

/// Bytes of a word of the VM, of a list cell, and of an entry of a map of any size.
const WORD: usize = 8;
/// Bytes for the list cell of one element.
pub const LIST_CELL: usize = 2 * WORD;
/// Bytes for one entry of a map, at most.
pub const MAP_ENTRY: usize = 64 * WORD;

/// In words of the VM. A field's key costs nothing; looking up its position does.
pub fn weight(kind: &Kind) -> usize {
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
        // Includes the library's own data for it.
        Kind::Resource(_) => 32 * WORD,
    }
}

/// What a type consists of.
#[derive(Clone, Copy, Default)]
pub struct Inside {
    /// The depth of the deepest part.
    pub depth: usize,
    /// Whether any part is a pointer or a handle.
    pub indirect: bool,
    /// Whether any part is a handle.
    pub handles: bool,
}

impl Inside {
    fn of(shape: &Shape) -> Self {
        Inside {
            depth: shape.depth,
            indirect: shape.indirect,
            handles: shape.handles,
        }
    }

    fn all<'s>(shapes: impl Iterator<Item = &'s Arc<Shape>>) -> Self {
        shapes.fold(Inside::default(), |all, shape| Inside {
            depth: all.depth.max(shape.depth),
            indirect: all.indirect || shape.indirect,
            handles: all.handles || shape.handles,
        })
    }
}

/// The parts of a type.
pub fn inside(kind: &Kind) -> Inside {
    let none = Inside::default();
    match kind {
        Kind::String => Inside {
            indirect: true,
            ..none
        },
        Kind::Resource(_) => Inside {
            indirect: true,
            handles: true,
            ..none
        },
        Kind::List(element) | Kind::Map(element) => Inside {
            indirect: true,
            ..Inside::of(element)
        },
        Kind::FixedList(element, _) => Inside::of(element),
        Kind::Record(record) => Inside::all(record.fields.iter().map(|field| &field.item.shape)),
        Kind::Tuple(items) => Inside::all(items.iter().map(|item| &item.shape)),
        Kind::Variant(cases) | Kind::Option(cases) | Kind::Result(cases) => {
            Inside::all(cases.cases.iter().filter_map(|case| case.payload.as_ref()))
        }
        Kind::Bool | Kind::Number(_) | Kind::Char | Kind::Enum(_) | Kind::Flags(_) => none,
    }
}
