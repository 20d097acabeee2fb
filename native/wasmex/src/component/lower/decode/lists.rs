//! Lists, of fixed or variable length, and maps, which the guest sees as lists of pairs.

use super::{COPIED, Decoder, OTHERS, no_number};
use crate::component::lower::image::Target;
use crate::component::problem::{Checked, Problem, ProblemKind, Step};
use crate::component::types::numbers;
use crate::component::types::shape::{Kind, Shape};
use crate::vm::terms;
use rustler::{Atom, Binary, ListIterator, MapIterator, Term};

/// Maximum size of a list in bytes: what fits in a 32-bit memory beside other data.
pub(super) const MAX_LIST: usize = 1 << 31;

/// `{:u32, binary}`, with the name of the element type: the bytes and the number of elements.
fn packed<'a>(term: Term<'a>, element: &Shape) -> Checked<Option<(Binary<'a>, usize)>> {
    let Kind::Number(number) = element.kind else {
        return Ok(None);
    };
    let Ok((name, binary)) = term.decode::<(Atom, Binary)>() else {
        return Ok(None);
    };
    if name != number.atom() || binary.len() % element.size != 0 || binary.len() >= MAX_LIST {
        let (name, size) = (number.name(), element.size);
        let expected = format!("list<{name}>: a list, or {{:{name}, binary}} of {size} bytes each");
        return Err(Problem::kind(expected, term));
    }
    let length = binary.len() / element.size;
    Ok(Some((binary, length)))
}

impl Decoder<'_> {
    /// Writes a list.
    pub(super) fn list(
        &mut self,
        term: Term,
        element: &Shape,
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        if element.is_byte()
            && let Ok(binary) = Binary::from_term(term)
        {
            self.spend(binary.len() / COPIED)?;
            let chunk = self.image.chunk(term, &binary);
            self.image.link(blob, at, Target::Bytes(chunk));
            return Ok(());
        }
        if let Some((binary, length)) = packed(term, element)? {
            self.spend(binary.len() / COPIED)?;
            let chunk = self.image.chunk(binary.to_term(term.get_env()), &binary);
            let target = Target::Numbers {
                chunk,
                length: length as u32,
                size: element.size as u32,
            };
            self.image.link(blob, at, target);
            return Ok(());
        }
        let (list, length) = match self.integers(term, element)? {
            Some(list) => list,
            None => self.any_list(term, element)?,
        };
        let (blob_index, length) = (list as u32, length as u32);
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

    /// A list of any values, as a blob and its length.
    fn any_list(&mut self, term: Term, element: &Shape) -> Checked<(usize, usize)> {
        self.spend_list(term, element)?;
        let (iterator, length) = self.list_of(term, || format!("list<{}>", element.describe()))?;
        let list = self.room(length, element, term)?;
        self.elements(iterator, element, list)?;
        Ok((list, length))
    }

    /// Writes a list of a fixed length.
    pub(super) fn fixed_list(
        &mut self,
        term: Term,
        element: &Shape,
        expected: usize,
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        if let Some((binary, got)) = packed(term, element)? {
            if got != expected {
                return Err(Problem::new(ProblemKind::Length { expected, got }));
            }
            let bytes = &mut self.image.blobs[blob].bytes;
            bytes[at..][..binary.len()].copy_from_slice(&binary);
            return Ok(());
        }
        let (iterator, got) =
            self.list_of(term, || format!("list<{}, {expected}>", element.describe()))?;
        if got != expected {
            return Err(Problem::new(ProblemKind::Length { expected, got }));
        }
        for (index, term) in iterator.enumerate() {
            self.value(term, element, blob, at + index * element.size)
                .map_err(|problem| problem.at(Step::Item(index)))?;
        }
        Ok(())
    }

    /// Writes a map as a list of its entries.
    pub(super) fn map(&mut self, term: Term, entry: &Shape, blob: usize, at: usize) -> Checked<()> {
        let Some(iterator) = MapIterator::new(term) else {
            return Err(Problem::kind("map", term));
        };
        let length = term.map_size().unwrap_or(0);
        self.spend(length.saturating_mul(entry.size).saturating_mul(OTHERS))?;
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

    /// Counts the elements of a list, only as many as may be decoded here: that alone takes long for others.
    fn spend_list(&mut self, term: Term, element: &Shape) -> Checked<()> {
        let each = match element.kind {
            Kind::Number(_) => element.size,
            _ => element.size.saturating_mul(OTHERS),
        }
        .max(1);
        let length = terms::length_up_to(term, self.left / each + 1);
        self.spend(length.saturating_mul(each))
    }

    fn list_of<'a>(
        &self,
        term: Term<'a>,
        expected: impl Fn() -> String,
    ) -> Checked<(ListIterator<'a>, usize)> {
        terms::list(term).ok_or_else(|| Problem::kind(expected(), term))
    }

    fn room(&mut self, length: usize, element: &Shape, term: Term) -> Checked<usize> {
        match length.checked_mul(element.size) {
            Some(size) if size < MAX_LIST => Ok(self.image.blob(size, element.align)),
            _ => Err(Problem::kind("list that fits a 32-bit memory", term)),
        }
    }

    fn elements(&mut self, list: ListIterator, element: &Shape, blob: usize) -> Checked<()> {
        if let Kind::Number(number) = element.kind {
            let lenient = self.mapping.lenient;
            let slots = self.image.blobs[blob].bytes.chunks_exact_mut(element.size);
            for (index, (term, slot)) in list.zip(slots).enumerate() {
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
}
