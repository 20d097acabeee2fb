//! How large a world of WIT is when it is written out, with each interface and each nameless type as often as it is used.
//!
//! In a component a nameless type may have a million parts, and any number of functions may use it.

use std::collections::HashMap;
use wit_parser::{Function, InterfaceId, Resolve, Type, TypeDefKind, TypeId, WorldId, WorldItem};

/// Bytes of a name that count as one part.
const NAME: usize = 64;

/// The number of items, fields, cases and types of this world.
pub fn parts(resolve: &Resolve, world: WorldId) -> u64 {
    let mut parts = Parts {
        resolve,
        types: HashMap::new(),
        interfaces: HashMap::new(),
    };
    let world = &resolve.worlds[world];
    let items = world.imports.values().chain(world.exports.values());
    sum(items.map(|item| parts.item(item).saturating_add(1)))
}

struct Parts<'r> {
    resolve: &'r Resolve,
    types: HashMap<TypeId, u64>,
    interfaces: HashMap<InterfaceId, u64>,
}

impl Parts<'_> {
    fn item(&mut self, item: &WorldItem) -> u64 {
        match item {
            WorldItem::Interface { id, .. } => self.interface(*id),
            WorldItem::Function(function) => self.function(function),
            WorldItem::Type { id, .. } => self.kind(&self.resolve.types[*id].kind),
        }
    }

    fn interface(&mut self, id: InterfaceId) -> u64 {
        if let Some(known) = self.interfaces.get(&id) {
            return *known;
        }
        let interface = &self.resolve.interfaces[id];
        let types = interface.types.iter();
        let types = sum(types
            .map(|(text, id)| name(text).saturating_add(self.kind(&self.resolve.types[*id].kind))));
        let functions = interface.functions.values();
        let functions = sum(functions.map(|function| self.function(function)));
        let parts = types.saturating_add(functions);
        self.interfaces.insert(id, parts);
        parts
    }

    fn function(&mut self, function: &Function) -> u64 {
        let params = function.params.iter();
        let params = sum(params.map(|param| name(&param.name).saturating_add(self.ty(&param.ty))));
        let result = self.optional(function.result.as_ref());
        sum([name(&function.name), params, result].into_iter())
    }

    fn optional(&mut self, ty: Option<&Type>) -> u64 {
        ty.map_or(0, |ty| self.ty(ty))
    }

    /// A named type is written as its name.
    fn ty(&mut self, ty: &Type) -> u64 {
        let Type::Id(id) = ty else { return 1 };
        if let Some(known) = self.types.get(id) {
            return *known;
        }
        let ty = &self.resolve.types[*id];
        let parts = match &ty.name {
            Some(text) => name(text),
            None => self.kind(&ty.kind),
        };
        self.types.insert(*id, parts);
        parts
    }

    fn kind(&mut self, kind: &TypeDefKind) -> u64 {
        let inner = match kind {
            TypeDefKind::Record(record) => sum(record
                .fields
                .iter()
                .map(|field| name(&field.name).saturating_add(self.ty(&field.ty)))),
            TypeDefKind::Variant(variant) => sum(variant
                .cases
                .iter()
                .map(|case| name(&case.name).saturating_add(self.optional(case.ty.as_ref())))),
            TypeDefKind::Enum(cases) => sum(cases.cases.iter().map(|case| name(&case.name))),
            TypeDefKind::Flags(flags) => sum(flags.flags.iter().map(|flag| name(&flag.name))),
            TypeDefKind::Tuple(tuple) => sum(tuple.types.iter().map(|ty| self.ty(ty))),
            TypeDefKind::Result(result) => {
                let ok = self.optional(result.ok.as_ref());
                ok.saturating_add(self.optional(result.err.as_ref()))
            }
            TypeDefKind::Map(key, value) => self.ty(key).saturating_add(self.ty(value)),
            TypeDefKind::Option(ty)
            | TypeDefKind::List(ty)
            | TypeDefKind::FixedLengthList(ty, _)
            | TypeDefKind::Type(ty) => self.ty(ty),
            _ => 0,
        };
        inner.saturating_add(1)
    }
}

fn name(text: &str) -> u64 {
    u64::try_from(text.len() / NAME)
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

fn sum(parts: impl Iterator<Item = u64>) -> u64 {
    parts.fold(0, u64::saturating_add)
}
