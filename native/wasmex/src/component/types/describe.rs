//! The types of a component as terms.

use crate::vm::atoms;
use rustler::{Encoder, Env, Term};
use std::collections::HashMap;
use wasmtime::Engine;
use wasmtime::component::types::{ComponentItem, Type};

/// Describes the types of one component.
///
/// A type may be used a million times, so each of its names is written once.
pub struct Describer<'a, 'e> {
    env: Env<'a>,
    engine: &'e Engine,
    /// By the address of the name, which the component's types keep: one may be long.
    names: HashMap<(usize, usize), Term<'a>>,
}

impl<'a, 'e> Describer<'a, 'e> {
    /// Nothing is described so far.
    pub fn new(env: Env<'a>, engine: &'e Engine) -> Self {
        Describer {
            env,
            engine,
            names: HashMap::new(),
        }
    }

    /// `{:func, params, result}`, `{:instance, items}`, `:resource`, …
    pub fn item(&mut self, item: &ComponentItem) -> Term<'a> {
        let env = self.env;
        match item {
            ComponentItem::ComponentFunc(func) => {
                let params: Vec<(Term, Term)> = func
                    .params()
                    .map(|(name, ty)| (self.name(name), self.ty(&ty)))
                    .collect();
                let result = func.results().next().map(|ty| self.ty(&ty));
                (atoms::func(), params, result).encode(env)
            }
            ComponentItem::ComponentInstance(instance) => {
                let items: Vec<Term> = instance
                    .exports(self.engine)
                    .map(|(name, inner)| (name, self.item(&inner.ty)).encode(env))
                    .collect();
                (atoms::instance(), items).encode(env)
            }
            ComponentItem::Resource(_) => atoms::resource().encode(env),
            ComponentItem::Type(ty) => (atoms::type_(), self.ty(ty)).encode(env),
            ComponentItem::Module(_) | ComponentItem::CoreFunc(_) => atoms::module().encode(env),
            ComponentItem::Component(_) => atoms::component().encode(env),
        }
    }

    fn name(&mut self, name: &str) -> Term<'a> {
        let place = (name.as_ptr().addr(), name.len());
        let env = self.env;
        let encode = || name.encode(env);
        *self.names.entry(place).or_insert_with(encode)
    }

    fn named<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> Vec<Term<'a>> {
        names.map(|name| self.name(name)).collect()
    }

    fn ty(&mut self, ty: &Type) -> Term<'a> {
        let env = self.env;
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
            Type::List(list) => (atoms::list(), self.ty(&list.ty())).encode(env),
            Type::FixedLengthList(list) => {
                (atoms::list(), self.ty(&list.ty()), list.len()).encode(env)
            }
            Type::Map(map) => {
                (atoms::map(), self.ty(&map.key()), self.ty(&map.value())).encode(env)
            }
            Type::Record(record) => {
                let fields: Vec<(Term, Term)> = record
                    .fields()
                    .map(|field| (self.name(field.name), self.ty(&field.ty)))
                    .collect();
                (atoms::record(), fields).encode(env)
            }
            Type::Tuple(tuple) => {
                let types: Vec<Term> = tuple.types().map(|ty| self.ty(&ty)).collect();
                (atoms::tuple(), types).encode(env)
            }
            Type::Variant(variant) => {
                let cases: Vec<(Term, Option<Term>)> = variant
                    .cases()
                    .map(|case| (self.name(case.name), case.ty.map(|ty| self.ty(&ty))))
                    .collect();
                (atoms::variant(), cases).encode(env)
            }
            Type::Enum(names) => (atoms::enum_(), self.named(names.names())).encode(env),
            Type::Option(option) => (atoms::option(), self.ty(&option.ty())).encode(env),
            Type::Result(result) => {
                let ok = result.ok().map(|ty| self.ty(&ty));
                let error = result.err().map(|ty| self.ty(&ty));
                (atoms::result(), ok, error).encode(env)
            }
            Type::Flags(flags) => (atoms::flags(), self.named(flags.names())).encode(env),
            Type::Own(_) => atoms::own().encode(env),
            Type::Borrow(_) => atoms::borrow().encode(env),
            Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
                atoms::unsupported().encode(env)
            }
        }
    }
}
