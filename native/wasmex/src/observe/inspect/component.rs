//! The outermost sections of a component (component model, Binary.md): imports and exports by kind.

use super::{Fields, Items, Result, Sections, custom_section, producers, section};
use crate::vm::atoms;
use crate::vm::terms::map;
use rustler::{Atom, Encoder, Env, Term};
use std::ops::Range;
use wasmparser::{ComponentExternalKind, Encoding, Payload};

/// Reads the sections of a component.
pub(super) fn read<'a>(env: Env<'a>, mut sections: Sections) -> Result<Fields<'a>> {
    let mut imports = Items::new("imports");
    let mut exports = Items::new("exports");
    let mut listed = Items::new("sections");
    let mut own_producers = None;
    let mut largest: Option<Range<usize>> = None;
    while let Some(payload) = sections.next()? {
        match &payload {
            Payload::ComponentImportSection(reader) => {
                for import in reader.clone().into_iter_with_offsets() {
                    let (offset, import) = import?;
                    imports.push(offset, imported(env, import.name.name, import.ty.kind()))?;
                }
            }
            Payload::ComponentExportSection(reader) => {
                for export in reader.clone().into_iter_with_offsets() {
                    let (offset, export) = export?;
                    exports.push(offset, exported(env, export.name.name, export.kind))?;
                }
            }
            Payload::ModuleSection {
                unchecked_range: range,
                ..
            } if largest.as_ref().is_none_or(|old| old.len() < range.len()) => {
                largest = Some(range.clone());
            }
            Payload::CustomSection(custom) => {
                if own_producers.is_none() {
                    own_producers = producers(env, custom);
                }
                listed.push(custom.range().start, custom_section(env, custom))?;
            }
            _ => (),
        }
        if let (Some(name), Some((_, range))) = (name(&payload), payload.as_section()) {
            let term = section(env, name, &range, None);
            listed.push(range.start, term)?;
        }
    }
    let inner = match largest {
        Some(range) => inner_producers(env, &sections, &range)?,
        None => None,
    };
    Ok(vec![
        (atoms::kind(), atoms::component().encode(env)),
        (atoms::imports(), imports.encode(env)),
        (atoms::exports(), exports.encode(env)),
        (atoms::producers(), own_producers.encode(env)),
        (atoms::inner_producers(), inner.encode(env)),
        (atoms::sections(), listed.encode(env)),
    ])
}

/// The producers of the largest module inside, which is the program; the others are adapters.
fn inner_producers<'a>(
    env: Env<'a>,
    sections: &Sections,
    range: &Range<usize>,
) -> Result<Option<Term<'a>>> {
    let mut inner = Sections::new(sections.bytes(range), range.start);
    if !matches!(inner.encoding()?, Encoding::Module) {
        return Ok(None);
    }
    while let Some(payload) = inner.next()? {
        if let Payload::CustomSection(custom) = &payload
            && let Some(found) = producers(env, custom)
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// `%{namespace: nil, name, type}`
fn imported<'a>(env: Env<'a>, name: &str, kind: ComponentExternalKind) -> Term<'a> {
    map(
        env,
        &[
            (atoms::namespace(), atoms::nil().encode(env)),
            (atoms::name(), name.encode(env)),
            (atoms::type_(), kind_atom(kind).encode(env)),
        ],
    )
}

/// `%{name, type}`
fn exported<'a>(env: Env<'a>, name: &str, kind: ComponentExternalKind) -> Term<'a> {
    map(
        env,
        &[
            (atoms::name(), name.encode(env)),
            (atoms::type_(), kind_atom(kind).encode(env)),
        ],
    )
}

fn kind_atom(kind: ComponentExternalKind) -> Atom {
    match kind {
        ComponentExternalKind::Module => atoms::module(),
        ComponentExternalKind::Func => atoms::func(),
        ComponentExternalKind::Value => atoms::value(),
        ComponentExternalKind::Type => atoms::type_(),
        ComponentExternalKind::Instance => atoms::instance(),
        ComponentExternalKind::Component => atoms::component(),
    }
}

fn name(payload: &Payload) -> Option<&'static str> {
    Some(match payload {
        Payload::ModuleSection { .. } => "core module",
        Payload::InstanceSection(_) => "core instance",
        Payload::CoreTypeSection(_) => "core type",
        Payload::ComponentSection { .. } => "component",
        Payload::ComponentInstanceSection(_) => "instance",
        Payload::ComponentAliasSection(_) => "alias",
        Payload::ComponentTypeSection(_) => "type",
        Payload::ComponentCanonicalSection(_) => "canon",
        Payload::ComponentStartSection { .. } => "start",
        Payload::ComponentImportSection(_) => "import",
        Payload::ComponentExportSection(_) => "export",
        _ => return None,
    })
}
