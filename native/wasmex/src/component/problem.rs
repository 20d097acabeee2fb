//! A conversion error with its path: the leaf describes the error, each level above adds its position.

use crate::vm::atoms;
use crate::vm::host_error::{Details, HostError};
use crate::vm::term_box::TermBox;
use crate::vm::terms;
use crate::vm::weight;
use rustler::{Atom, Encoder, Env, Term};

/// A conversion error with its path.
pub struct Problem {
    kind: ProblemKind,
    /// Path elements, innermost first.
    path: Vec<Step>,
}

/// The error itself.
pub enum ProblemKind {
    /// The term has the wrong type or is out of range.
    Type { expected: String, got: TermBox },
    /// The term is of the right kind and out of the type's range.
    Range { expected: String, got: TermBox },
    /// A record with missing fields or unknown keys.
    Fields {
        count: usize,
        missing: Vec<String>,
        unknown: Vec<TermBox>,
        names: Vec<String>,
    },
    /// Unknown case or flag.
    Case {
        of: &'static str,
        got: TermBox,
        names: Vec<String>,
    },
    /// A case with a missing or a surplus payload.
    Payload { case: String, expected: bool },
    /// A tuple or fixed-length list of the wrong length.
    Length { expected: usize, got: usize },
    /// A string that is invalid UTF-8 from this byte on.
    Utf8 { offset: usize },
    /// A resource handle that cannot be used here.
    Handle(&'static str),
    /// Too large for a normal scheduler. This does not get to Elixir.
    Large,
}

/// One element of the path.
pub enum Step {
    Param(usize, Box<str>),
    Result,
    Field(Box<str>),
    Item(usize),
    Element(usize),
    Case(Box<str>),
    Key(usize),
    Value(usize),
}

/// A value, or the error.
pub type Checked<T> = Result<T, Box<Problem>>;

impl Problem {
    /// An error without a path.
    pub fn new(kind: ProblemKind) -> Box<Self> {
        Box::new(Problem {
            kind,
            path: Vec::new(),
        })
    }

    /// The term has the wrong type.
    pub fn kind(expected: impl Into<String>, got: Term) -> Box<Self> {
        Problem::new(ProblemKind::Type {
            expected: expected.into(),
            got: weight::shown(got),
        })
    }

    /// Whether the value must be decoded on a dirty scheduler.
    pub fn is_large(&self) -> bool {
        matches!(self.kind, ProblemKind::Large)
    }

    /// Adds a path element, from the inside out.
    pub fn at(mut self: Box<Self>, step: Step) -> Box<Self> {
        self.path.push(step);
        self
    }

    /// For Elixir, which writes the message.
    fn details<'a>(&self, env: Env<'a>) -> Details<'a> {
        let mut pairs: Details<'a> = Vec::new();
        let names = |names: &[String]| names.encode(env);
        let kind = match &self.kind {
            ProblemKind::Type { expected, got } => {
                pairs.push((atoms::expected(), expected.encode(env)));
                pairs.push((atoms::got(), got.get(env)));
                atoms::type_()
            }
            ProblemKind::Range { expected, got } => {
                pairs.push((atoms::expected(), expected.encode(env)));
                pairs.push((atoms::got(), got.get(env)));
                atoms::range()
            }
            ProblemKind::Fields {
                count,
                missing,
                unknown,
                names: all,
            } => {
                let unknown: Vec<Term> = unknown.iter().map(|key| key.get(env)).collect();
                pairs.push((atoms::count(), count.encode(env)));
                pairs.push((atoms::missing(), names(missing)));
                pairs.push((atoms::unknown(), unknown.encode(env)));
                pairs.push((atoms::names(), names(all)));
                atoms::fields()
            }
            ProblemKind::Case {
                of,
                got,
                names: all,
            } => {
                pairs.push((atoms::expected(), of.encode(env)));
                pairs.push((atoms::got(), got.get(env)));
                pairs.push((atoms::names(), names(all)));
                atoms::case_()
            }
            ProblemKind::Payload { case, expected } => {
                pairs.push((atoms::name(), case.encode(env)));
                pairs.push((atoms::expected(), expected.encode(env)));
                atoms::payload()
            }
            ProblemKind::Length { expected, got } => {
                pairs.push((atoms::expected(), expected.encode(env)));
                pairs.push((atoms::got(), got.encode(env)));
                atoms::length()
            }
            ProblemKind::Utf8 { offset } => {
                pairs.push((atoms::offset(), offset.encode(env)));
                atoms::utf8()
            }
            ProblemKind::Handle(why) => {
                pairs.push((atoms::message(), why.encode(env)));
                atoms::resource()
            }
            ProblemKind::Large => atoms::limit(),
        };
        let path: Vec<Term> = self
            .path
            .iter()
            .rev()
            .map(|step| step.encode(env))
            .collect();
        pairs.push((atoms::problem(), kind.encode(env)));
        pairs.push((atoms::path(), path.encode(env)));
        pairs
    }
}

impl Encoder for Step {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Step::Param(index, name) => (atoms::param(), index, &**name).encode(env),
            Step::Result => atoms::result().encode(env),
            Step::Field(name) => (atoms::field(), &**name).encode(env),
            Step::Item(index) => (atoms::item(), index).encode(env),
            Step::Element(index) => (atoms::element(), index).encode(env),
            Step::Case(name) => (atoms::case_(), &**name).encode(env),
            Step::Key(index) => (atoms::key(), index).encode(env),
            Step::Value(index) => (atoms::value(), index).encode(env),
        }
    }
}

/// A conversion error in an argument of a component's function.
pub struct Conversion(pub Box<Problem>);

impl HostError for Conversion {
    fn kind(&self) -> Atom {
        atoms::conversion()
    }

    fn details<'a>(&self, env: Env<'a>) -> Details<'a> {
        self.0.details(env)
    }
}

/// A conversion error in a host function's result, carried through wasmtime.
pub struct BadValue(pub Box<Problem>);

impl std::fmt::Debug for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BadValue")
    }
}

impl std::fmt::Display for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an imported function returned a value of another type")
    }
}

impl std::error::Error for BadValue {}

impl HostError for BadValue {
    fn kind(&self) -> Atom {
        atoms::bad_value()
    }

    fn details<'a>(&self, env: Env<'a>) -> Details<'a> {
        vec![(atoms::message(), terms::map(env, &self.0.details(env)))]
    }
}
