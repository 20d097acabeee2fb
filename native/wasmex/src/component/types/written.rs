//! The type of a component's function as a line of WIT, for messages.

use wasmtime::component::types::{ComponentFunc, Type};

/// Bytes after which a type is cut: it may have a million parts and any names.
const LONGEST: usize = 1_000;

/// The function in WIT syntax; the end of a long one is missing.
pub fn signature(func: &ComponentFunc) -> String {
    let mut line = Line(String::new());
    line.push("func(");
    line.list(func.params(), |line, (name, ty)| {
        line.push(name);
        line.push(": ");
        line.ty(&ty);
    });
    line.push(")");
    if let Some(ty) = func.results().next() {
        line.push(" -> ");
        line.ty(&ty);
    }
    line.0
}

struct Line(String);

impl Line {
    fn is_full(&self) -> bool {
        self.0.len() >= LONGEST
    }

    fn push(&mut self, text: &str) {
        if self.is_full() {
            return;
        }
        let room = LONGEST.saturating_sub(self.0.len());
        match text.len() < room {
            true => self.0.push_str(text),
            false => {
                self.0
                    .push_str(text.get(..text.floor_char_boundary(room)).unwrap_or(""));
                self.0.push('…');
            }
        }
    }

    fn list<T>(&mut self, items: impl Iterator<Item = T>, mut each: impl FnMut(&mut Self, T)) {
        for (index, item) in items.enumerate() {
            if self.is_full() {
                return;
            }
            self.push(if index == 0 { "" } else { ", " });
            each(self, item);
        }
    }

    fn names<'n>(&mut self, kind: &str, names: impl Iterator<Item = &'n str>) {
        self.push(kind);
        self.push(" { ");
        self.list(names, Self::push);
        self.push(" }");
    }

    /// A type with those in it: `list<u8>`, `result<_, string>`.
    fn generic(&mut self, kind: &str, inner: &[Option<Type>]) {
        self.push(kind);
        self.push("<");
        self.list(inner.iter(), |line, ty| match ty {
            Some(ty) => line.ty(ty),
            None => line.push("_"),
        });
        self.push(">");
    }

    fn ty(&mut self, ty: &Type) {
        if self.is_full() {
            return;
        }
        match ty {
            Type::Bool => self.push("bool"),
            Type::S8 => self.push("s8"),
            Type::U8 => self.push("u8"),
            Type::S16 => self.push("s16"),
            Type::U16 => self.push("u16"),
            Type::S32 => self.push("s32"),
            Type::U32 => self.push("u32"),
            Type::S64 => self.push("s64"),
            Type::U64 => self.push("u64"),
            Type::Float32 => self.push("f32"),
            Type::Float64 => self.push("f64"),
            Type::Char => self.push("char"),
            Type::String => self.push("string"),
            Type::List(inner) => self.generic("list", &[Some(inner.ty())]),
            Type::FixedLengthList(inner) => {
                self.push("list<");
                self.ty(&inner.ty());
                self.push(&format!(", {}>", inner.len()));
            }
            Type::Map(map) => self.generic("map", &[Some(map.key()), Some(map.value())]),
            Type::Record(record) => {
                self.push("record { ");
                self.list(record.fields(), |line, field| {
                    line.push(field.name);
                    line.push(": ");
                    line.ty(&field.ty);
                });
                self.push(" }");
            }
            Type::Tuple(tuple) => {
                self.push("tuple<");
                self.list(tuple.types(), |line, ty| line.ty(&ty));
                self.push(">");
            }
            Type::Variant(variant) => {
                self.push("variant { ");
                self.list(variant.cases(), |line, case| {
                    line.push(case.name);
                    if let Some(ty) = &case.ty {
                        line.push("(");
                        line.ty(ty);
                        line.push(")");
                    }
                });
                self.push(" }");
            }
            Type::Enum(names) => self.names("enum", names.names()),
            Type::Option(inner) => self.generic("option", &[Some(inner.ty())]),
            Type::Result(result) => match (result.ok(), result.err()) {
                (None, None) => self.push("result"),
                (ok, None) => self.generic("result", &[ok]),
                (ok, error) => self.generic("result", &[ok, error]),
            },
            Type::Flags(flags) => self.names("flags", flags.names()),
            Type::Own(_) => self.push("resource"),
            Type::Borrow(_) => self.push("borrow<resource>"),
            Type::Future(_) => self.push("future"),
            Type::Stream(_) => self.push("stream"),
            Type::ErrorContext => self.push("error-context"),
        }
    }
}
