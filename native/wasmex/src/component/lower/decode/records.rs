//! Records and tuples: fields one after the other.

use super::Decoder;
use crate::component::problem::{Checked, Problem, ProblemKind, Step};
use crate::component::types::shape::{Field, Kind, Shape};
use crate::vm::atoms;
use crate::vm::small_map::SmallMap;
use crate::vm::terms::{self, Entries};
use crate::vm::weight;
use rustler::{Atom, Term};

impl Decoder<'_> {
    /// Writes a record.
    pub(super) fn record(
        &mut self,
        term: Term,
        fields: &[Field],
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        let env = term.get_env();
        let Some(map) = SmallMap::of(term) else {
            return self.any_record(term, fields, blob, at);
        };
        let Some(places) = self.places.of(env, map, fields) else {
            return self.any_record(term, fields, blob, at);
        };
        for (field, place) in fields.iter().zip(&places) {
            // SAFETY: a value of the map, of the same environment.
            let value = unsafe { Term::new(env, map.values[usize::from(*place)]) };
            let at = at + field.item.offset;
            match field.item.shape.kind {
                Kind::Number(number) if let Some(bits) = number.small(value) => {
                    self.write(blob, at, bits, number.size());
                }
                _ => self.field(value, field, blob, at)?,
            }
        }
        Ok(())
    }

    fn field(&mut self, value: Term, field: &Field, blob: usize, at: usize) -> Checked<()> {
        self.value(value, &field.item.shape, blob, at)
            .map_err(|problem| problem.at(Step::Field(field.name.text.clone())))
    }

    /// Writes a record from any map.
    #[inline(never)]
    fn any_record(&mut self, term: Term, fields: &[Field], blob: usize, at: usize) -> Checked<()> {
        let Some(entries) = terms::entries(term) else {
            return Err(Problem::kind("record", term));
        };
        let mut found = 0;
        let find = match entries.len() == fields.len() {
            true => Field::find_only,
            false => Field::find,
        };
        for field in fields {
            if let Some(value) = find(field, &entries) {
                found += 1;
                self.field(value, field, blob, at + field.item.offset)?;
            }
        }
        if found == fields.len() && (self.mapping.lenient || entries.len() == found) {
            return Ok(());
        }
        self.fields(&entries, fields)
    }

    /// Names the missing fields and the unknown keys.
    fn fields(&self, entries: &Entries, fields: &[Field]) -> Checked<()> {
        let missing: Vec<String> = fields
            .iter()
            .filter(|field| field.find(entries).is_none())
            .map(|field| field.name.text.to_string())
            .collect();
        let mut unknown = Vec::new();
        if !self.mapping.lenient {
            for (key, _) in entries {
                let is_struct = key
                    .decode::<Atom>()
                    .is_ok_and(|key| key == atoms::struct_());
                if !is_struct && !fields.iter().any(|field| field.name.is(*key)) {
                    unknown.push(weight::shown(*key));
                }
            }
        }
        if missing.is_empty() && unknown.is_empty() {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::Fields {
            count: fields.len(),
            missing,
            unknown,
            names: fields
                .iter()
                .map(|field| field.name.text.to_string())
                .collect(),
        }))
    }

    /// Writes a tuple.
    pub(super) fn tuple(
        &mut self,
        term: Term,
        shape: &Shape,
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        let items = shape.items();
        let Some(terms) = terms::elements(term) else {
            return Err(Problem::kind(shape.describe(), term));
        };
        let fits = match self.mapping.lenient {
            true => terms.len() >= items.len(),
            false => terms.len() == items.len(),
        };
        if !fits {
            return Err(Problem::new(ProblemKind::Length {
                expected: items.len(),
                got: terms.len(),
            }));
        }
        let env = term.get_env();
        for (index, (element, item)) in terms.iter().zip(items).enumerate() {
            // SAFETY: a term of the same environment as its tuple.
            let element = unsafe { Term::new(env, *element) };
            self.value(element, &item.shape, blob, at + item.offset)
                .map_err(|problem| problem.at(Step::Element(index)))?;
        }
        Ok(())
    }
}
