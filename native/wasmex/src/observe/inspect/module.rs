//! A core module's sections (core specification, section 5.5).

use super::types::{self, Types};
use super::{Fields, Items, Malformed, Result, Sections, custom_section, producers, section};
use crate::vm::atoms;
use crate::vm::terms::map;
use rustler::{Encoder, Env, Term};
use wasmparser::{
    CustomSectionReader, Export, ExternalKind, Import, KnownCustom, Name, Payload, SectionLimited,
    TypeRef,
};

/// Maximum number of types and of functions in a module: the implementation limit of the JavaScript embedding.
const MAX_INDICES: usize = 1_000_000;

/// Reads the sections of a core module.
pub(super) fn read<'a>(env: Env<'a>, mut sections: Sections) -> Result<Fields<'a>> {
    let mut module = Module::new(env);
    while let Some(payload) = sections.next()? {
        module.section(&payload)?;
    }
    Ok(module.fields())
}

/// State of the reader. Index spaces hold the imports first, then the module's own definitions.
struct Module<'a> {
    env: Env<'a>,
    types: Types<'a>,
    type_count: usize,
    functions: Vec<u32>,
    tags: Vec<u32>,
    tables: Items<'a>,
    memories: Items<'a>,
    globals: Items<'a>,
    imports: Items<'a>,
    exports: Items<'a>,
    sections: Items<'a>,
    start: bool,
    name: Option<String>,
    producers: Option<Term<'a>>,
}

impl<'a> Module<'a> {
    fn new(env: Env<'a>) -> Self {
        Module {
            env,
            types: Types::new(env),
            type_count: 0,
            functions: Vec::new(),
            tags: Vec::new(),
            tables: Items::new("tables"),
            memories: Items::new("memories"),
            globals: Items::new("globals"),
            imports: Items::new("imports"),
            exports: Items::new("exports"),
            sections: Items::new("sections"),
            start: false,
            name: None,
            producers: None,
        }
    }

    fn fields(self) -> Fields<'a> {
        let env = self.env;
        vec![
            (atoms::kind(), atoms::module().encode(env)),
            (atoms::name(), self.name.encode(env)),
            (atoms::imports(), self.imports.encode(env)),
            (atoms::exports(), self.exports.encode(env)),
            (atoms::tables(), self.tables.encode(env)),
            (atoms::memories(), self.memories.encode(env)),
            (atoms::globals(), self.globals.encode(env)),
            (atoms::start(), self.start.encode(env)),
            (atoms::producers(), self.producers.encode(env)),
            (atoms::sections(), self.sections.encode(env)),
        ]
    }

    fn section(&mut self, payload: &Payload) -> Result<()> {
        match payload {
            Payload::TypeSection(reader) => self.read_types(reader)?,
            Payload::ImportSection(reader) => {
                for import in reader.clone().into_imports_with_offsets() {
                    let (offset, import) = import?;
                    self.import(offset, &import)?;
                }
            }
            Payload::FunctionSection(reader) => {
                for function in reader.clone().into_iter_with_offsets() {
                    let (offset, ty) = function?;
                    self.function(offset, ty)?;
                }
            }
            Payload::TableSection(reader) => self.each(reader, |module, offset, table| {
                let term = types::table(module.env, &table.ty);
                module.tables.push(offset, term)
            })?,
            Payload::MemorySection(reader) => self.each(reader, |module, offset, ty| {
                let term = types::memory(module.env, &ty);
                module.memories.push(offset, term)
            })?,
            Payload::GlobalSection(reader) => self.each(reader, |module, offset, global| {
                let term = types::global(module.env, &global.ty);
                module.globals.push(offset, term)
            })?,
            Payload::TagSection(reader) => self.each(reader, |module, offset, tag| {
                module.tag(offset, tag.func_type_idx)
            })?,
            Payload::ExportSection(reader) => {
                self.each(reader, |module, offset, export| {
                    module.export(offset, &export)
                })?;
            }
            Payload::StartSection { .. } => self.start = true,
            Payload::CustomSection(custom) => self.custom(custom),
            _ => (),
        }
        self.list(payload)
    }

    fn each<'b, T: wasmparser::FromReader<'b>>(
        &mut self,
        reader: &SectionLimited<'b, T>,
        mut item: impl FnMut(&mut Self, usize, T) -> Result<()>,
    ) -> Result<()> {
        for entry in reader.clone().into_iter_with_offsets() {
            let (offset, entry) = entry?;
            item(self, offset, entry)?;
        }
        Ok(())
    }

    fn read_types(&mut self, reader: &SectionLimited<wasmparser::RecGroup>) -> Result<()> {
        for group in reader.clone().into_iter_with_offsets() {
            let (offset, group) = group?;
            for ty in group.into_types() {
                self.type_count += 1;
                bounded(self.type_count, "types", offset)?;
                self.types.push(ty);
            }
        }
        Ok(())
    }

    fn function(&mut self, offset: usize, ty: u32) -> Result<()> {
        self.functions.push(ty);
        bounded(self.functions.len(), "functions", offset)
    }

    fn tag(&mut self, offset: usize, ty: u32) -> Result<()> {
        self.tags.push(ty);
        bounded(self.tags.len(), "tags", offset)
    }

    /// `%{namespace, name, type}`
    fn import(&mut self, offset: usize, import: &Import) -> Result<()> {
        let env = self.env;
        let ty = match &import.ty {
            TypeRef::Func(index) | TypeRef::FuncExact(index) => {
                self.function(offset, *index)?;
                self.types.func(*index, offset)?
            }
            TypeRef::Tag(tag) => {
                self.tag(offset, tag.func_type_idx)?;
                self.types.tag(tag.func_type_idx, offset)?
            }
            TypeRef::Table(ty) => {
                let ty = types::table(env, ty);
                self.tables.push(offset, ty)?;
                (atoms::table(), ty).encode(env)
            }
            TypeRef::Memory(ty) => {
                let ty = types::memory(env, ty);
                self.memories.push(offset, ty)?;
                (atoms::memory(), ty).encode(env)
            }
            TypeRef::Global(ty) => {
                let ty = types::global(env, ty);
                self.globals.push(offset, ty)?;
                (atoms::global(), ty).encode(env)
            }
        };
        let term = map(
            env,
            &[
                (atoms::namespace(), import.module.encode(env)),
                (atoms::name(), import.name.encode(env)),
                (atoms::type_(), ty),
            ],
        );
        self.imports.push(offset, term)
    }

    /// `%{name, type}`
    fn export(&mut self, offset: usize, export: &Export) -> Result<()> {
        let env = self.env;
        let index = export.index as usize;
        let item = |items: &Items<'a>, kind: rustler::Atom| {
            let ty = items.terms.get(index);
            ty.map(|ty| (kind, *ty).encode(env))
        };
        let ty = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => match self.functions.get(index) {
                Some(&ty) => Some(self.types.func(ty, offset)?),
                None => None,
            },
            ExternalKind::Tag => match self.tags.get(index) {
                Some(&ty) => Some(self.types.tag(ty, offset)?),
                None => None,
            },
            ExternalKind::Table => item(&self.tables, atoms::table()),
            ExternalKind::Memory => item(&self.memories, atoms::memory()),
            ExternalKind::Global => item(&self.globals, atoms::global()),
        };
        let ty = ty.ok_or_else(|| {
            Malformed::new(offset, format!("an export of the unknown index {index}"))
        })?;
        let term = map(
            env,
            &[
                (atoms::name(), export.name.encode(env)),
                (atoms::type_(), ty),
            ],
        );
        self.exports.push(offset, term)
    }

    /// The first section with a name counts, as in wasmtime.
    fn custom(&mut self, custom: &CustomSectionReader) {
        if self.producers.is_none() {
            self.producers = producers(self.env, custom);
        }
        if self.name.is_none()
            && let KnownCustom::Name(reader) = custom.as_known()
            && let Some(Ok(Name::Module { name, .. })) = reader.into_iter().next()
        {
            self.name = Some(name.to_string());
        }
    }

    fn list(&mut self, payload: &Payload) -> Result<()> {
        let env = self.env;
        if let Payload::CustomSection(custom) = payload {
            let offset = custom.range().start;
            return self.sections.push(offset, custom_section(env, custom));
        }
        if let (Some((name, count)), Some((_, range))) = (described(payload), payload.as_section())
        {
            let term = section(env, name, &range, count);
            self.sections.push(range.start, term)?;
        }
        Ok(())
    }
}

fn bounded(count: usize, what: &str, offset: usize) -> Result<()> {
    if count > MAX_INDICES {
        let text = format!("more than {MAX_INDICES} {what} (the limit)");
        return Err(Malformed::new(offset, text));
    }
    Ok(())
}

/// A section's name and number of entries.
fn described(payload: &Payload) -> Option<(&'static str, Option<u32>)> {
    Some(match payload {
        Payload::TypeSection(reader) => ("type", Some(reader.count())),
        Payload::ImportSection(reader) => ("import", Some(reader.count())),
        Payload::FunctionSection(reader) => ("function", Some(reader.count())),
        Payload::TableSection(reader) => ("table", Some(reader.count())),
        Payload::MemorySection(reader) => ("memory", Some(reader.count())),
        Payload::GlobalSection(reader) => ("global", Some(reader.count())),
        Payload::ExportSection(reader) => ("export", Some(reader.count())),
        Payload::StartSection { .. } => ("start", None),
        Payload::ElementSection(reader) => ("element", Some(reader.count())),
        Payload::CodeSectionStart { count, .. } => ("code", Some(*count)),
        Payload::DataSection(reader) => ("data", Some(reader.count())),
        Payload::DataCountSection { .. } => ("data count", None),
        Payload::TagSection(reader) => ("tag", Some(reader.count())),
        _ => return None,
    })
}
