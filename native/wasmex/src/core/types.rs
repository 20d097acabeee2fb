//! wasmtime's types as the terms that `Wasmex.Module` documents, and back.

use crate::vm::atoms;
use crate::vm::terms;
use rustler::{Atom, Encoder, Env, Error, NifResult, Term};
use wasmtime::{
    Engine, ExternType, FuncType, GlobalType, HeapType, MemoryType, Mutability, RefType, TableType,
    ValType,
};

/// `:i32 | :i64 | :f32 | :f64 | :v128 | {:reference, text}`
pub fn value<'a>(env: Env<'a>, ty: &ValType) -> Term<'a> {
    match ty {
        ValType::I32 => atoms::i32().encode(env),
        ValType::I64 => atoms::i64().encode(env),
        ValType::F32 => atoms::f32().encode(env),
        ValType::F64 => atoms::f64().encode(env),
        ValType::V128 => atoms::v128().encode(env),
        ValType::Ref(ty) => reference(env, ty),
    }
}

fn reference<'a>(env: Env<'a>, ty: &RefType) -> Term<'a> {
    (atoms::reference(), ty.to_string()).encode(env)
}

/// `{tag, params, results}`
pub fn func<'a>(env: Env<'a>, tag: Atom, ty: &FuncType) -> Term<'a> {
    let params: Vec<Term> = ty.params().map(|ty| value(env, &ty)).collect();
    let results: Vec<Term> = ty.results().map(|ty| value(env, &ty)).collect();
    (tag, params, results).encode(env)
}

/// `{:global, %{mutability, type}}`
pub fn global<'a>(env: Env<'a>, ty: &GlobalType) -> Term<'a> {
    let mutability = match ty.mutability() {
        Mutability::Const => atoms::const_(),
        Mutability::Var => atoms::var(),
    };
    let details = terms::map(
        env,
        &[
            (atoms::mutability(), mutability.encode(env)),
            (atoms::type_(), value(env, ty.content())),
        ],
    );
    (atoms::global(), details).encode(env)
}

/// `{:table, %{minimum, type}}`, with `maximum` where there is one.
pub fn table<'a>(env: Env<'a>, ty: &TableType) -> Term<'a> {
    let mut details = vec![
        (atoms::minimum(), ty.minimum().encode(env)),
        (atoms::type_(), reference(env, ty.element())),
    ];
    if let Some(maximum) = ty.maximum() {
        details.push((atoms::maximum(), maximum.encode(env)));
    }
    (atoms::table(), terms::map(env, &details)).encode(env)
}

/// `{:memory, %{minimum, shared, memory64}}`, with `maximum` where there is one.
pub fn memory<'a>(env: Env<'a>, ty: &MemoryType) -> Term<'a> {
    let mut details = vec![
        (atoms::minimum(), ty.minimum().encode(env)),
        (atoms::shared(), ty.is_shared().encode(env)),
        (atoms::memory64(), ty.is_64().encode(env)),
    ];
    if let Some(maximum) = ty.maximum() {
        details.push((atoms::maximum(), maximum.encode(env)));
    }
    (atoms::memory(), terms::map(env, &details)).encode(env)
}

/// The type of an import or an export.
pub fn external<'a>(env: Env<'a>, ty: &ExternType) -> Term<'a> {
    match ty {
        ExternType::Func(ty) => func(env, atoms::fn_(), ty),
        ExternType::Global(ty) => global(env, ty),
        ExternType::Table(ty) => table(env, ty),
        ExternType::Memory(ty) => memory(env, ty),
        ExternType::Tag(ty) => func(env, atoms::tag(), ty.ty()),
    }
}

/// For error messages: `func (param i32) (result i64)`, `memory`, …
pub fn describe(ty: &ExternType) -> String {
    match ty {
        ExternType::Func(ty) => describe_func("func", ty),
        ExternType::Tag(ty) => describe_func("tag", ty.ty()),
        ExternType::Global(ty) => match ty.mutability() {
            Mutability::Const => format!("global {}", ty.content()),
            Mutability::Var => format!("global (mut {})", ty.content()),
        },
        ExternType::Table(ty) => {
            format!("table of {} with at least {}", ty.element(), ty.minimum())
        }
        ExternType::Memory(ty) => format!("memory of at least {} pages", ty.minimum()),
    }
}

fn describe_func(word: &str, ty: &FuncType) -> String {
    let mut text = word.to_string();
    for (word, types) in [
        (
            "param",
            ty.params().map(|ty| ty.to_string()).collect::<Vec<_>>(),
        ),
        ("result", ty.results().map(|ty| ty.to_string()).collect()),
    ] {
        if !types.is_empty() {
            text.push_str(&format!(" ({word} {})", types.join(" ")));
        }
    }
    text
}

/// The value types that an Elixir function may be declared with.
pub fn decode_value(term: Term) -> NifResult<ValType> {
    let atom: Atom = term.decode()?;
    match atom {
        a if a == atoms::i32() => Ok(ValType::I32),
        a if a == atoms::i64() => Ok(ValType::I64),
        a if a == atoms::f32() => Ok(ValType::F32),
        a if a == atoms::f64() => Ok(ValType::F64),
        a if a == atoms::v128() => Ok(ValType::V128),
        _ => match term.atom_to_string()?.as_str() {
            "externref" => Ok(ValType::EXTERNREF),
            "funcref" => Ok(ValType::FUNCREF),
            "anyref" => Ok(ValType::ANYREF),
            "eqref" => Ok(ValType::EQREF),
            "i31ref" => Ok(ValType::I31REF),
            "structref" => Ok(ValType::STRUCTREF),
            "arrayref" => Ok(ValType::ARRAYREF),
            "exnref" => Ok(ValType::Ref(RefType::new(true, HeapType::Exn))),
            _ => Err(Error::BadArg),
        },
    }
}

/// The type of a function declared in Elixir.
pub fn decode_func(engine: &Engine, params: Term, results: Term) -> NifResult<FuncType> {
    let params: Vec<Term> = params.decode()?;
    let results: Vec<Term> = results.decode()?;
    let params: Vec<ValType> = params
        .into_iter()
        .map(decode_value)
        .collect::<Result<_, _>>()?;
    let results: Vec<ValType> = results
        .into_iter()
        .map(decode_value)
        .collect::<Result<_, _>>()?;
    Ok(FuncType::new(engine, params, results))
}
