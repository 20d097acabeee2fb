//! Values whose types are only known at run time, passed through wasmtime's typed functions.
//!
//! wasmtime's dynamic values are a Rust enum each: a list of a million bytes becomes a million enums. Its typed
//! functions convert directly between guest memory and a Rust type; these types do the same for terms, guided by the
//! type that wasmtime passes along. The requirements of `ComponentType` are met as follows: `Lower` is an array of
//! `ValRaw`, as long as the maximum number of flat values wherever its length matters; sizes and alignments come from
//! the component's type, never from the constants, which describe an empty type.

pub mod export;
pub mod import;

use crate::component::internal::{CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType};
use crate::component::lower::image::{Hosted, Image};
use crate::component::problem::{Checked, Problem, ProblemKind};
use crate::component::resource::handle;
use crate::component::signature::{FlatTypes, TypeList};
use crate::component::state::Components;
use crate::component::types::shared::Shared;
use std::cell::RefCell;
use std::sync::Arc;
use wasmtime::Result;

const NOTHING: CanonicalAbiInfo = CanonicalAbiInfo {
    size32: 0,
    align32: 1,
    size64: 0,
    align64: 1,
    flat_count: Some(0),
};

thread_local! {
    /// What wasmtime's type checks on this thread encounter.
    static CHECKED: RefCell<Vec<TypeList>> = const { RefCell::new(Vec::new()) };
}

fn check(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
    let shared = Shared::find(types.types)?;
    let shape = shared.shape(*ty)?;
    let mut tables = Vec::new();
    shape.resources(&mut tables);
    let resources = tables
        .into_iter()
        .map(|table| {
            let ty = types.resource_type(table);
            (table, (ty, shared.implemented(ty)))
        })
        .collect();
    let flat = FlatTypes::of(items(types.types, *ty), &resources);
    let list = TypeList {
        shape,
        resources,
        flat,
    };
    CHECKED.with_borrow_mut(|lists| lists.push(list));
    Ok(())
}

/// The types of a list of parameters or results.
fn items(types: &ComponentTypes, ty: InterfaceType) -> &[InterfaceType] {
    match ty {
        InterfaceType::Tuple(index) => &types[index].types,
        _ => &[],
    }
}

/// The parameters and results that wasmtime checks while `run` runs.
pub fn checked(run: impl FnOnce() -> Result<()>) -> Result<(TypeList, TypeList)> {
    CHECKED.with_borrow_mut(Vec::clear);
    run()?;
    let lists = CHECKED.take();
    let [params, results]: [TypeList; 2] = lists
        .try_into()
        .map_err(|_| wasmtime::Error::msg("a function has no parameters or results to check"))?;
    Ok((params, results))
}

const NO_STORE: &str = "it was passed outside of a call";
const TOO_MUCH: &str =
    "the terms that guests of the store hold as resources exceed its `memory_size`";
const TOO_MANY: &str = "the store has 100,000 resources of the host, and may not have more: its guests do not drop them";

/// Terms become resources, all of them or none.
fn insert(hosted: &mut [Hosted], components: &Components) -> Checked<()> {
    for index in 0..hosted.len() {
        let Some(term) = hosted[index].term.take() else {
            continue;
        };
        match components.hosted.insert(term) {
            Ok(rep) => hosted[index].rep = rep,
            Err(_) => {
                remove(&hosted[..index], components);
                return Err(Problem::new(ProblemKind::Handle(TOO_MUCH)));
            }
        }
    }
    Ok(())
}

fn remove(hosted: &[Hosted], components: &Components) {
    for hosted in hosted {
        components.hosted.remove(hosted.rep);
    }
}

/// The last, irreversible step of decoding: handles are moved, terms become resources.
pub fn commit(
    image: &mut Image,
    components: impl FnOnce() -> Option<Arc<Components>>,
) -> Checked<()> {
    let components = match image.hosted.is_empty() {
        true => None,
        false => Some(components().ok_or_else(|| Problem::new(ProblemKind::Handle(NO_STORE)))?),
    };
    if let Some(components) = &components
        && !components.hosted.has_room(image.hosted.len())
    {
        return Err(Problem::new(ProblemKind::Handle(TOO_MANY)));
    }
    let Some(components) = components else {
        return handle::resolve(&mut image.handles);
    };
    insert(&mut image.hosted, &components)?;
    handle::resolve(&mut image.handles).inspect_err(|_| remove(&image.hosted, &components))
}
