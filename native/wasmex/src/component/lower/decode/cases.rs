//! Variants, enums, options and results: a tag with an optional payload. Also flags, one tag per bit.

use super::Decoder;
use crate::component::problem::{Checked, Problem, ProblemKind, Step};
use crate::component::types::shape::{Case, Cases, Kind, Shape};
use crate::vm::atoms;
use crate::vm::small_map::SmallMap;
use crate::vm::terms;
use crate::vm::weight;
use rustler::{Atom, Term};

impl Decoder<'_> {
    /// Writes a variant.
    pub(super) fn variant(
        &mut self,
        term: Term,
        cases: &Cases,
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        let (tag, payload) = tagged(term);
        if !tag.is_atom() && (!tag.is_binary() || (self.mapping.lenient && payload.is_some())) {
            return Err(Problem::kind("variant", term));
        }
        let (index, case) = find_case(cases, tag, "variant")?;
        self.tag(index, cases, blob, at);
        self.payload(case, payload, cases, blob, at)
    }

    /// Writes an enum.
    pub(super) fn enumeration(
        &mut self,
        term: Term,
        cases: &Cases,
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        if !term.is_atom() && !term.is_binary() {
            return Err(Problem::kind("enum", term));
        }
        let (index, _) = find_case(cases, term, "enum")?;
        self.tag(index, cases, blob, at);
        Ok(())
    }

    /// `:none` or `{:some, value}`
    pub(super) fn option(
        &mut self,
        term: Term,
        cases: &Cases,
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        let wrong = || Problem::kind("option", term);
        if is(term, atoms::none()) {
            self.tag(0, cases, blob, at);
            return Ok(());
        }
        let (tag, payload) = terms::pair(term).ok_or_else(wrong)?;
        if !is(tag, atoms::some()) {
            return Err(wrong());
        }
        self.tag(1, cases, blob, at);
        self.payload(&cases.cases[1], Some(payload), cases, blob, at)
    }

    /// `{:ok, value}`, `{:error, value}`; the bare tag if the case has no payload.
    pub(super) fn result(
        &mut self,
        term: Term,
        cases: &Cases,
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        let (tag, payload) = tagged(term);
        let index = if is(tag, atoms::ok()) {
            0
        } else if is(tag, atoms::error()) {
            1
        } else {
            return Err(Problem::kind("result", term));
        };
        let case = &cases.cases[index];
        if case.payload.is_none() && payload.is_some() {
            return Err(Problem::new(ProblemKind::Payload {
                case: case.name.text.to_string(),
                expected: false,
            }));
        }
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
            (None, Some(_)) if self.mapping.lenient => Ok(()),
            (expected, _) => Err(Problem::new(ProblemKind::Payload {
                case: case.name.text.to_string(),
                expected: expected.is_some(),
            })),
        }
    }

    fn tag(&mut self, index: usize, cases: &Cases, blob: usize, at: usize) {
        self.write(blob, at, index as u64, cases.tag_size);
    }

    /// A map from names to booleans, or a list of names.
    pub(super) fn flags(
        &mut self,
        term: Term,
        shape: &Shape,
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        let Kind::Flags(names) = &shape.kind else {
            return Ok(());
        };
        let mut bits = 0;
        let mut set = |name: Term, on: bool| match names.iter().position(|known| known.is(name)) {
            Some(index) => {
                bits |= u64::from(on) << index;
                Ok(())
            }
            None => Err(Problem::new(ProblemKind::Case {
                of: "flags",
                got: weight::shown(name),
                names: names.iter().map(|name| name.text.to_string()).collect(),
            })),
        };
        let env = term.get_env();
        let mut entry = |name: Term, value: Term| {
            let on = value
                .decode::<bool>()
                .map_err(|_| Problem::kind("bool", value))?;
            set(name, on)
        };
        if let Some(map) = SmallMap::of(term) {
            for (name, value) in map.keys.iter().zip(map.values) {
                // SAFETY: terms of the same environment as their map.
                let (name, value) = unsafe { (Term::new(env, *name), Term::new(env, *value)) };
                entry(name, value)?;
            }
        } else if let Some(entries) = terms::entries(term) {
            for (name, value) in entries {
                entry(name, value)?;
            }
        } else if let Some((iterator, _)) = terms::list(term) {
            for name in iterator {
                set(name, true)?;
            }
        } else {
            return Err(Problem::kind("flags", term));
        }
        self.write(blob, at, bits, shape.size);
        Ok(())
    }
}

/// An atom is an immediate, the same wherever it occurs.
fn is(term: Term, atom: Atom) -> bool {
    term.as_c_arg() == atom.as_c_arg()
}

/// `{tag, payload}`, or the bare tag.
fn tagged(term: Term) -> (Term, Option<Term>) {
    match terms::pair(term) {
        Some((tag, payload)) => (tag, Some(payload)),
        None => (term, None),
    }
}

fn find_case<'c>(cases: &'c Cases, tag: Term, of: &'static str) -> Checked<(usize, &'c Case)> {
    cases
        .find(tag)
        .map(|index| (index, &cases.cases[index]))
        .ok_or_else(|| {
            Problem::new(ProblemKind::Case {
                of,
                got: weight::shown(tag),
                names: cases
                    .cases
                    .iter()
                    .map(|case| case.name.text.to_string())
                    .collect(),
            })
        })
}
