//! Reads the contents of a wasm file with wasmparser, without compiling it, as a term for `Wasmex.Inspection`.
//!
//! Only the outermost sections are read. Component types and function bodies, which nest, are skipped. Each list has a
//! limit, and types are encoded once and shared, so memory is bounded by the file's size.

mod component;
mod module;
mod types;

use crate::core::door;
use crate::vm::atoms;
use crate::vm::terms::map;
use rustler::{Atom, Binary, Encoder, Env, NifResult, Term};
use std::ops::Range;
use wasmparser::{Chunk, CustomSectionReader, Encoding, Parser, Payload, ProducersSectionReader};

/// Maximum entries in one list of the result: imports, exports, sections, globals, …
const MAX_ITEMS: usize = 100_000;

/// An unreadable file: the reason, and the offset in bytes where it was found.
pub(crate) struct Malformed {
    message: String,
    offset: usize,
}

impl Malformed {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        let message = message.into();
        Malformed { message, offset }
    }
}

impl From<wasmparser::Error> for Malformed {
    fn from(error: wasmparser::Error) -> Self {
        Malformed::new(error.offset(), error.message())
    }
}

type Result<T> = std::result::Result<T, Malformed>;

/// `{:ok, map}` with the fields of `Wasmex.Inspection`, or `{:error, {:parse, %{message, offset}}}`. Without limits, nil,
/// it also reads what may not be compiled.
#[rustler::nif(schedule = "DirtyCpu")]
fn wasm_inspect<'a>(env: Env<'a>, bytes: Binary<'a>, limits: Term<'a>) -> NifResult<Term<'a>> {
    if !limits.is_atom()
        && let Err(error) = door::binary(&bytes, &door::limits_of(limits)?)
    {
        return Ok(error.to_term(env));
    }
    Ok(match read(env, &bytes) {
        Ok(fields) => (atoms::ok(), map(env, &fields)).encode(env),
        Err(Malformed { message, offset }) => {
            let details = map(
                env,
                &[
                    (atoms::message(), message.encode(env)),
                    (atoms::offset(), offset.encode(env)),
                ],
            );
            (atoms::error(), (atoms::parse(), details)).encode(env)
        }
    })
}

type Fields<'a> = Vec<(Atom, Term<'a>)>;

fn read<'a>(env: Env<'a>, bytes: &[u8]) -> Result<Fields<'a>> {
    let mut sections = Sections::new(bytes, 0);
    match sections.encoding()? {
        Encoding::Module => module::read(env, sections),
        Encoding::Component => component::read(env, sections),
    }
}

/// The outermost sections of a module or component, in order; nested content is skipped.
struct Sections<'b> {
    parser: Parser,
    rest: &'b [u8],
    all: &'b [u8],
    base: usize,
}

impl<'b> Sections<'b> {
    /// `base` is the offset of `bytes` in the file, for errors.
    fn new(bytes: &'b [u8], base: usize) -> Self {
        Sections {
            parser: Parser::new(base as u64),
            rest: bytes,
            all: bytes,
            base,
        }
    }

    fn encoding(&mut self) -> Result<Encoding> {
        match self.payload()? {
            Payload::Version { encoding, .. } => Ok(encoding),
            _ => Err(Malformed::new(self.base, "expected a wasm header")),
        }
    }

    /// The next section; `None` at the end.
    fn next(&mut self) -> Result<Option<Payload<'b>>> {
        let payload = self.payload()?;
        match &payload {
            Payload::End(_) => return Ok(None),
            Payload::CodeSectionStart { size, range, .. } => {
                self.parser.skip_section();
                self.step(*size as usize, range)?;
            }
            Payload::ModuleSection {
                unchecked_range: range,
                ..
            }
            | Payload::ComponentSection {
                unchecked_range: range,
                ..
            } => self.step(range.len(), range)?,
            Payload::UnknownSection { id, range, .. } => {
                return Err(Malformed::new(range.start, format!("unknown section {id}")));
            }
            _ => (),
        }
        Ok(Some(payload))
    }

    fn payload(&mut self) -> Result<Payload<'b>> {
        match self.parser.parse(self.rest, true)? {
            Chunk::Parsed { consumed, payload } => {
                self.rest = self.rest.get(consumed..).unwrap_or_default();
                Ok(payload)
            }
            Chunk::NeedMoreData(_) => Err(self.too_short()),
        }
    }

    fn step(&mut self, size: usize, range: &Range<usize>) -> Result<()> {
        let rest = self.rest.get(size..);
        self.rest = rest.ok_or_else(|| {
            let missing = size - self.rest.len();
            Malformed::new(
                range.start,
                format!("unexpected end: the section needs {missing} more bytes"),
            )
        })?;
        Ok(())
    }

    fn too_short(&self) -> Malformed {
        Malformed::new(self.base + self.all.len(), "unexpected end")
    }

    /// The bytes of a section returned by `next`.
    fn bytes(&self, range: &Range<usize>) -> &'b [u8] {
        let range = range.start - self.base..range.end - self.base;
        self.all.get(range).unwrap_or_default()
    }
}

/// A list of terms limited to [`MAX_ITEMS`].
struct Items<'a> {
    what: &'static str,
    terms: Vec<Term<'a>>,
}

impl<'a> Items<'a> {
    fn new(what: &'static str) -> Self {
        let terms = Vec::new();
        Items { what, terms }
    }

    fn push(&mut self, offset: usize, term: Term<'a>) -> Result<()> {
        if self.terms.len() >= MAX_ITEMS {
            let text = format!("more than {MAX_ITEMS} {} (the limit)", self.what);
            return Err(Malformed::new(offset, text));
        }
        self.terms.push(term);
        Ok(())
    }

    fn encode(&self, env: Env<'a>) -> Term<'a> {
        self.terms.encode(env)
    }
}

/// `%{name, size, count}`
fn section<'a>(
    env: Env<'a>,
    name: impl Encoder,
    range: &Range<usize>,
    count: Option<u32>,
) -> Term<'a> {
    map(
        env,
        &[
            (atoms::name(), name.encode(env)),
            (atoms::size(), range.len().encode(env)),
            (atoms::count(), count.encode(env)),
        ],
    )
}

fn custom_section<'a>(env: Env<'a>, custom: &CustomSectionReader) -> Term<'a> {
    section(
        env,
        format!("custom {}", custom.name()),
        &custom.range(),
        None,
    )
}

/// `[{field, [{name, version}]}]` of a producers section. A malformed custom section is ignored, as the core
/// specification requires (section 7.2).
fn producers<'a>(env: Env<'a>, custom: &CustomSectionReader) -> Option<Term<'a>> {
    if custom.name() != "producers" {
        return None;
    }
    let fields = ProducersSectionReader::new(custom.data_reader()).ok()?;
    let mut left = MAX_ITEMS;
    let mut terms = Vec::new();
    for field in fields {
        let field = field.ok()?;
        let mut values = Vec::new();
        for value in field.values {
            left = left.checked_sub(1)?;
            let value = value.ok()?;
            values.push((value.name, value.version));
        }
        left = left.checked_sub(1)?;
        terms.push((field.name, values).encode(env));
    }
    Some(terms.encode(env))
}
