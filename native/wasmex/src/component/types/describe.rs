//! The types of a component as terms, and as a line of WIT.

use crate::vm::atoms;
use rustler::{Encoder, Env, Term};
use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};

/// `{:func, params, result}`, `{:instance, items}`, `:resource`, …
pub fn item<'a>(env: Env<'a>, engine: &Engine, item: &ComponentItem) -> Term<'a> {
    match item {
        ComponentItem::ComponentFunc(func) => {
            let params: Vec<(String, Term)> = func
                .params()
                .map(|(name, ty)| (name.to_string(), term(env, &ty)))
                .collect();
            let result = func.results().next().map(|ty| term(env, &ty));
            (atoms::func(), params, result).encode(env)
        }
        ComponentItem::ComponentInstance(instance) => {
            let items: Vec<Term> = instance
                .exports(engine)
                .map(|(name, inner)| (name, self::item(env, engine, &inner.ty)).encode(env))
                .collect();
            (atoms::instance(), items).encode(env)
        }
        ComponentItem::Resource(_) => atoms::resource().encode(env),
        ComponentItem::Type(ty) => (atoms::type_(), term(env, ty)).encode(env),
        ComponentItem::Module(_) | ComponentItem::CoreFunc(_) => atoms::module().encode(env),
        ComponentItem::Component(_) => atoms::component().encode(env),
    }
}

/// A type as a term.
pub fn term<'a>(env: Env<'a>, ty: &Type) -> Term<'a> {
    match ty {
        Type::Bool => atoms::bool_().encode(env),
        Type::S8 => atoms::s8().encode(env),
        Type::U8 => atoms::u8_().encode(env),
        Type::S16 => atoms::s16().encode(env),
        Type::U16 => atoms::u16_().encode(env),
        Type::S32 => atoms::s32().encode(env),
        Type::U32 => atoms::u32_().encode(env),
        Type::S64 => atoms::s64().encode(env),
        Type::U64 => atoms::u64_().encode(env),
        Type::Float32 => atoms::f32().encode(env),
        Type::Float64 => atoms::f64().encode(env),
        Type::Char => atoms::char_().encode(env),
        Type::String => atoms::string().encode(env),
        Type::List(list) => (atoms::list(), term(env, &list.ty())).encode(env),
        Type::FixedLengthList(list) => {
            (atoms::list(), term(env, &list.ty()), list.len()).encode(env)
        }
        Type::Map(map) => {
            (atoms::map(), term(env, &map.key()), term(env, &map.value())).encode(env)
        }
        Type::Record(record) => {
            let fields: Vec<(String, Term)> = record
                .fields()
                .map(|field| (field.name.to_string(), term(env, &field.ty)))
                .collect();
            (atoms::record(), fields).encode(env)
        }
        Type::Tuple(tuple) => {
            let types: Vec<Term> = tuple.types().map(|ty| term(env, &ty)).collect();
            (atoms::tuple(), types).encode(env)
        }
        Type::Variant(variant) => {
            let cases: Vec<(String, Option<Term>)> = variant
                .cases()
                .map(|case| (case.name.to_string(), case.ty.map(|ty| term(env, &ty))))
                .collect();
            (atoms::variant(), cases).encode(env)
        }
        Type::Enum(names) => {
            let names: Vec<&str> = names.names().collect();
            (atoms::enum_(), names).encode(env)
        }
        Type::Option(option) => (atoms::option(), term(env, &option.ty())).encode(env),
        Type::Result(result) => {
            let ok = result.ok().map(|ty| term(env, &ty));
            let error = result.err().map(|ty| term(env, &ty));
            (atoms::result(), ok, error).encode(env)
        }
        Type::Flags(flags) => {
            let names: Vec<&str> = flags.names().collect();
            (atoms::flags(), names).encode(env)
        }
        Type::Own(_) => atoms::own().encode(env),
        Type::Borrow(_) => atoms::borrow().encode(env),
        Type::Future(_) | Type::Stream(_) | Type::ErrorContext => atoms::unsupported().encode(env),
    }
}

/// The function in WIT syntax.
pub fn signature(func: &ComponentFunc) -> String {
    let params: Vec<String> = func
        .params()
        .map(|(name, ty)| format!("{name}: {}", text(&ty)))
        .collect();
    let result = func
        .results()
        .next()
        .map_or(String::new(), |ty| format!(" -> {}", text(&ty)));
    format!("func({}){result}", params.join(", "))
}

fn text(ty: &Type) -> String {
    let list = |types: Vec<String>| types.join(", ");
    match ty {
        Type::Bool => "bool".into(),
        Type::S8 => "s8".into(),
        Type::U8 => "u8".into(),
        Type::S16 => "s16".into(),
        Type::U16 => "u16".into(),
        Type::S32 => "s32".into(),
        Type::U32 => "u32".into(),
        Type::S64 => "s64".into(),
        Type::U64 => "u64".into(),
        Type::Float32 => "f32".into(),
        Type::Float64 => "f64".into(),
        Type::Char => "char".into(),
        Type::String => "string".into(),
        Type::List(inner) => format!("list<{}>", text(&inner.ty())),
        Type::FixedLengthList(inner) => format!("list<{}, {}>", text(&inner.ty()), inner.len()),
        Type::Map(map) => format!("map<{}, {}>", text(&map.key()), text(&map.value())),
        Type::Record(record) => format!(
            "record {{ {} }}",
            list(
                record
                    .fields()
                    .map(|field| format!("{}: {}", field.name, text(&field.ty)))
                    .collect()
            )
        ),
        Type::Tuple(tuple) => format!(
            "tuple<{}>",
            list(tuple.types().map(|ty| text(&ty)).collect())
        ),
        Type::Variant(variant) => format!(
            "variant {{ {} }}",
            list(
                variant
                    .cases()
                    .map(|case| match &case.ty {
                        Some(ty) => format!("{}({})", case.name, text(ty)),
                        None => case.name.to_string(),
                    })
                    .collect()
            )
        ),
        Type::Enum(names) => format!(
            "enum {{ {} }}",
            list(names.names().map(String::from).collect())
        ),
        Type::Option(inner) => format!("option<{}>", text(&inner.ty())),
        Type::Result(result) => match (result.ok(), result.err()) {
            (None, None) => "result".into(),
            (Some(ok), None) => format!("result<{}>", text(&ok)),
            (None, Some(error)) => format!("result<_, {}>", text(&error)),
            (Some(ok), Some(error)) => format!("result<{}, {}>", text(&ok), text(&error)),
        },
        Type::Flags(flags) => format!(
            "flags {{ {} }}",
            list(flags.names().map(String::from).collect())
        ),
        Type::Own(_) => "resource".into(),
        Type::Borrow(_) => "borrow<resource>".into(),
        Type::Future(_) => "future".into(),
        Type::Stream(_) => "stream".into(),
        Type::ErrorContext => "error-context".into(),
    }
}
