//! Types of a core module as the terms that `Wasmex.Module.exports/1` documents.

use super::{Malformed, Result};
use crate::vm::atoms;
use crate::vm::terms::map;
use rustler::{Atom, Encoder, Env, Term};
use wasmparser::{
    AbstractHeapType, CompositeInnerType, FuncType, GlobalType, HeapType, MemoryType, RefType,
    SubType, TableType, UnpackedIndex, ValType,
};

/// Maximum number of parameters and results in all listed function types, counted once per use.
const MAX_VALUES: usize = 1_000_000;

/// The module's types by index. A function type becomes a term at its first use; later uses share it.
pub(super) struct Types<'a> {
    env: Env<'a>,
    types: Vec<Entry<'a>>,
    left: usize,
}

enum Entry<'a> {
    /// A type of the GC proposal that is not a function type.
    Other,
    Func(FuncType),
    Encoded {
        params: Term<'a>,
        results: Term<'a>,
        func: Term<'a>,
        weight: usize,
    },
}

impl<'a> Types<'a> {
    /// No types yet.
    pub(super) fn new(env: Env<'a>) -> Self {
        let types = Vec::new();
        let left = MAX_VALUES;
        Types { env, types, left }
    }

    /// Adds a type of the type section.
    pub(super) fn push(&mut self, ty: SubType) {
        self.types.push(match ty.composite_type.inner {
            CompositeInnerType::Func(ty) => Entry::Func(ty),
            _ => Entry::Other,
        });
    }

    /// `{:fn, params, results}`; `offset` is where the type is used.
    pub(super) fn func(&mut self, index: u32, offset: usize) -> Result<Term<'a>> {
        match self.entry(index, offset)? {
            Entry::Encoded { func, .. } => Ok(*func),
            _ => Err(unknown(index, offset)),
        }
    }

    /// `{:tag, params, results}`
    pub(super) fn tag(&mut self, index: u32, offset: usize) -> Result<Term<'a>> {
        let env = self.env;
        match self.entry(index, offset)? {
            Entry::Encoded {
                params, results, ..
            } => Ok((atoms::tag(), *params, *results).encode(env)),
            _ => Err(unknown(index, offset)),
        }
    }

    fn entry(&mut self, index: u32, offset: usize) -> Result<&Entry<'a>> {
        let env = self.env;
        let entry = self.types.get_mut(index as usize);
        let entry = entry.ok_or_else(|| unknown(index, offset))?;
        if let Entry::Func(ty) = entry {
            *entry = encode(env, ty);
        }
        if let Entry::Encoded { weight, .. } = entry {
            let left = self.left.checked_sub(*weight);
            self.left = left.ok_or_else(|| {
                let text = format!("more than {MAX_VALUES} parameters and results (the limit)");
                Malformed::new(offset, text)
            })?;
        }
        Ok(entry)
    }
}

fn unknown(index: u32, offset: usize) -> Malformed {
    Malformed::new(offset, format!("type {index} is not a function type"))
}

fn encode<'a>(env: Env<'a>, ty: &FuncType) -> Entry<'a> {
    let list = |types: &[ValType]| {
        let terms: Vec<Term> = types.iter().map(|ty| value(env, *ty)).collect();
        terms.encode(env)
    };
    let (params, results) = (list(ty.params()), list(ty.results()));
    Entry::Encoded {
        params,
        results,
        func: (atoms::fn_(), params, results).encode(env),
        weight: ty.params().len() + ty.results().len(),
    }
}

/// `:i32 | … | {:reference, text}`
pub(super) fn value<'a>(env: Env<'a>, ty: ValType) -> Term<'a> {
    match ty {
        ValType::I32 => atoms::i32().encode(env),
        ValType::I64 => atoms::i64().encode(env),
        ValType::F32 => atoms::f32().encode(env),
        ValType::F64 => atoms::f64().encode(env),
        ValType::V128 => atoms::v128().encode(env),
        ValType::Ref(ty) => reference(env, ty),
    }
}

fn reference<'a>(env: Env<'a>, ty: RefType) -> Term<'a> {
    let null = if ty.is_nullable() { "null " } else { "" };
    let text = match ty.heap_type() {
        HeapType::Abstract { shared: false, ty } => format!("(ref {null}{})", heap(ty)),
        HeapType::Abstract { shared: true, ty } => format!("(ref {null}(shared {}))", heap(ty)),
        HeapType::Concrete(index) => format!("(ref {null}(type {}))", number(index)),
        HeapType::Exact(index) => format!("(ref {null}(exact {}))", number(index)),
    };
    (atoms::reference(), text).encode(env)
}

fn heap(ty: AbstractHeapType) -> &'static str {
    match ty {
        AbstractHeapType::Func => "func",
        AbstractHeapType::Extern => "extern",
        AbstractHeapType::Any => "any",
        AbstractHeapType::None => "none",
        AbstractHeapType::NoExtern => "noextern",
        AbstractHeapType::NoFunc => "nofunc",
        AbstractHeapType::Eq => "eq",
        AbstractHeapType::Struct => "struct",
        AbstractHeapType::Array => "array",
        AbstractHeapType::I31 => "i31",
        AbstractHeapType::Exn => "exn",
        AbstractHeapType::NoExn => "noexn",
        AbstractHeapType::Cont => "cont",
        AbstractHeapType::NoCont => "nocont",
    }
}

fn number(index: UnpackedIndex) -> u32 {
    match index {
        UnpackedIndex::Module(index) | UnpackedIndex::RecGroup(index) => index,
        #[allow(unreachable_patterns)]
        _ => 0,
    }
}

/// `%{mutability, type}`
pub(super) fn global<'a>(env: Env<'a>, ty: &GlobalType) -> Term<'a> {
    let mutability = if ty.mutable {
        atoms::var()
    } else {
        atoms::const_()
    };
    map(
        env,
        &[
            (atoms::mutability(), mutability.encode(env)),
            (atoms::type_(), value(env, ty.content_type)),
        ],
    )
}

/// `%{minimum, type, maximum?}`
pub(super) fn table<'a>(env: Env<'a>, ty: &TableType) -> Term<'a> {
    let fields = vec![
        (atoms::minimum(), ty.initial.encode(env)),
        (atoms::type_(), reference(env, ty.element_type)),
    ];
    limited(env, fields, ty.maximum)
}

/// `%{minimum, shared, memory64, maximum?}`
pub(super) fn memory<'a>(env: Env<'a>, ty: &MemoryType) -> Term<'a> {
    let fields = vec![
        (atoms::minimum(), ty.initial.encode(env)),
        (atoms::shared(), ty.shared.encode(env)),
        (atoms::memory64(), ty.memory64.encode(env)),
    ];
    limited(env, fields, ty.maximum)
}

fn limited<'a>(env: Env<'a>, mut fields: Vec<(Atom, Term<'a>)>, maximum: Option<u64>) -> Term<'a> {
    if let Some(maximum) = maximum {
        fields.push((atoms::maximum(), maximum.encode(env)));
    }
    map(env, &fields)
}
