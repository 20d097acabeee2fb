//! Booleans, characters and strings. For numbers see `types/numbers.rs`.

use super::{COPIED, Decoder};
use crate::component::lower::image::Target;
use crate::component::problem::{Checked, Problem, ProblemKind};
use crate::component::types::numbers;
use crate::vm::weight;
use rustler::{Binary, Term};

impl Decoder<'_> {
    /// Writes a boolean.
    pub(super) fn bool(&mut self, term: Term, blob: usize, at: usize) -> Checked<()> {
        let value = match term.decode::<bool>() {
            Ok(value) => value,
            Err(_) if self.mapping.lenient => numbers::truthy(term),
            Err(_) => return Err(Problem::kind("bool", term)),
        };
        self.write(blob, at, u64::from(value), 1);
        Ok(())
    }

    /// A one-character string, a code point, or a charlist of length one.
    pub(super) fn char(&mut self, term: Term, blob: usize, at: usize) -> Checked<()> {
        let wrong = || Problem::kind("char", term);
        let value = if let Ok(text) = term.decode::<&str>() {
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (Some(character), None) => u32::from(character),
                _ => return Err(wrong()),
            }
        } else if term.is_list() {
            match term.list_get_cell() {
                Ok((code, rest)) if rest.is_empty_list() => code.decode().map_err(|_| wrong())?,
                _ => return Err(wrong()),
            }
        } else {
            term.decode::<u32>().map_err(|_| wrong())?
        };
        if char::from_u32(value).is_none() {
            return Err(Problem::new(ProblemKind::Range {
                expected: "char".into(),
                got: weight::shown(term),
            }));
        }
        self.write(blob, at, u64::from(value), 4);
        Ok(())
    }

    /// Writes a string.
    pub(super) fn string(&mut self, term: Term, blob: usize, at: usize) -> Checked<()> {
        let chunk = if let Ok(binary) = Binary::from_term(term) {
            self.spend(binary.len() / COPIED)?;
            if let Err(error) = std::str::from_utf8(&binary) {
                let offset = error.valid_up_to();
                return Err(Problem::new(ProblemKind::Utf8 { offset }));
            }
            self.image.chunk(term, &binary)
        } else if self.mapping.lenient && term.is_atom() {
            let name = term.atom_to_string().unwrap_or_default();
            self.image.text(name.as_bytes())
        } else {
            return Err(Problem::kind("string", term));
        };
        self.image.link(blob, at, Target::Text(chunk));
        Ok(())
    }
}
