//! The handles in a guest's values. They are taken out of the guest's table before the other values become terms, which
//! may happen later and without wasmtime.

use super::pair;
use super::source::slice;
use crate::component::internal::LiftContext;
use crate::component::resource::handle::HandleResource;
use crate::component::state::Components;
use crate::component::types::flat;
use crate::component::types::numbers;
use crate::component::types::shape::{Item, Kind, Resource, Shape};
use crate::component::types::shared::Shared;
use crate::guest::cell::StoreCell;
use crate::guest::handoff;
use crate::vm::atoms;
use crate::vm::resource::ResourceArc;
use crate::vm::terms;
use rustler::{Env, Term};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;
use wasmtime::component::{Lift, ResourceAny, ResourceDynamic};
use wasmtime::{Result, ValRaw};

/// Handles that the values of one call may contain. They are found on a normal scheduler.
const MOST: usize = 16_384;
/// Parts of values that may contain handles.
const MOST_PARTS: usize = 8 * MOST;

/// Handles by their index in the guest's table.
#[derive(Default)]
pub struct Handles {
    few: SmallVec<[(u32, Handle); 2]>,
    many: HashMap<u32, Handle>,
    /// The same resource, borrowed more than once.
    again: Vec<ResourceAny>,
}

/// Handles that are found without a hash table.
const FEW: usize = 8;

enum Handle {
    /// Of a guest's resource.
    Guest(ResourceAny),
    /// The same with its term.
    Made(ResourceArc<HandleResource>),
    /// Of a resource implemented in Elixir, by its index in the store's table.
    Hosted { rep: u32, owned: bool },
}

impl Handles {
    /// Takes the handles of a value out of the guest's table.
    pub fn take(cx: &mut LiftContext<'_>, shape: &Shape, bytes: &[u8]) -> Result<Self> {
        let shared = Shared::find(cx.types)?;
        let mut search = Search {
            cx,
            shared,
            handles: Handles::default(),
            left: MOST,
            parts: MOST_PARTS,
        };
        search.value(shape, bytes)?;
        Ok(search.handles)
    }

    fn find(&mut self, index: u32) -> Option<&mut Handle> {
        match self.few.iter_mut().find(|(known, _)| *known == index) {
            Some((_, handle)) => Some(handle),
            None => self.many.get_mut(&index),
        }
    }

    fn add(&mut self, index: u32, handle: Handle) {
        match handle {
            Handle::Guest(any) if self.find(index).is_some() => self.again.push(any),
            handle if self.few.len() < FEW => self.few.push((index, handle)),
            handle => {
                self.many.insert(index, handle);
            }
        }
    }

    /// The handle with this index as a term.
    pub fn term<'e>(&mut self, env: Env<'e>, index: u32) -> Result<Term<'e>> {
        let (cell, components) = current()?;
        let handle = self
            .find(index)
            .ok_or_else(|| wasmtime::Error::msg("unknown handle of a resource"))?;
        let made = match handle {
            Handle::Hosted { rep, .. } => {
                let term = components.hosted.get(env, *rep, false);
                return term
                    .ok_or_else(|| wasmtime::Error::msg("unknown handle of a host resource"));
            }
            Handle::Made(made) => made.clone(),
            Handle::Guest(any) => {
                let instance = components.current();
                let made = HandleResource::new(cell, components, instance, *any);
                *handle = Handle::Made(made.clone());
                made
            }
        };
        Ok(terms::handle(env, atoms::wasmex_guest_resource(), made))
    }

    /// All values have become terms: Elixir owns what was moved to it. Returns the borrowed handles of guest resources.
    pub fn finish(mut self) -> Result<Vec<ResourceArc<HandleResource>>> {
        if self.few.is_empty() {
            return Ok(Vec::new());
        }
        let (cell, components) = current()?;
        let mut borrowed = Vec::new();
        let few = self.few.into_iter().map(|(_, handle)| handle);
        for handle in few.chain(self.many.into_values()) {
            match handle {
                Handle::Hosted { rep, owned: true } => components.hosted.remove(rep),
                Handle::Made(made) if !made.is_owned() => borrowed.push(made),
                Handle::Guest(any) => self.again.push(any),
                _ => {}
            }
        }
        for any in self.again {
            let made = HandleResource::new(cell.clone(), components.clone(), None, any);
            borrowed.push(made);
        }
        Ok(borrowed)
    }
}

fn current() -> Result<(ResourceArc<StoreCell>, Arc<Components>)> {
    let cell = handoff::current_cell()
        .ok_or_else(|| wasmtime::Error::msg("a resource came outside of a call"))?;
    let components = Components::of(&cell);
    Ok((cell, components))
}

/// A search for handles.
struct Search<'s, 'c> {
    cx: &'s mut LiftContext<'c>,
    shared: Arc<Shared>,
    handles: Handles,
    left: usize,
    parts: usize,
}

impl Search<'_, '_> {
    fn value(&mut self, shape: &Shape, bytes: &[u8]) -> Result<()> {
        if !shape.handles {
            return Ok(());
        }
        self.parts = self.parts.checked_sub(1).ok_or_else(too_many)?;
        match &shape.kind {
            Kind::Resource(resource) => self.handle(resource, bytes),
            Kind::List(element) | Kind::Map(element) => {
                let (at, length) = pair(bytes);
                let size = length.checked_mul(element.size).ok_or_else(too_many)?;
                let bytes = slice(self.cx.memory(), at, size, element.align)?;
                self.elements(element, bytes, length)
            }
            Kind::FixedList(element, length) => self.elements(element, bytes, *length),
            Kind::Record(record) => {
                self.items(record.fields.iter().map(|field| &field.item), bytes)
            }
            Kind::Tuple(items) => self.items(items.iter(), bytes),
            Kind::Variant(cases) | Kind::Option(cases) | Kind::Result(cases) => {
                match &flat::case(cases, flat::tag(cases, bytes))?.payload {
                    Some(payload) => self.value(payload, &bytes[cases.payload_offset..]),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn elements(&mut self, element: &Shape, bytes: &[u8], length: usize) -> Result<()> {
        (0..length).try_for_each(|index| self.value(element, &bytes[index * element.size..]))
    }

    fn items<'i>(&mut self, mut items: impl Iterator<Item = &'i Item>, bytes: &[u8]) -> Result<()> {
        items.try_for_each(|item| self.value(&item.shape, &bytes[item.offset..]))
    }

    fn handle(&mut self, resource: &Resource, bytes: &[u8]) -> Result<()> {
        self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        let index = numbers::read(bytes, 4) as u32;
        let flat = ValRaw::u32(index);
        let ty = self.cx.resource_type(resource.table);
        let handle = match self.shared.implemented(ty) {
            Some(_) => {
                let hosted = ResourceDynamic::linear_lift_from_flat(self.cx, resource.ty, &flat)?;
                Handle::Hosted {
                    rep: hosted.rep(),
                    owned: resource.owned,
                }
            }
            None => {
                let any = ResourceAny::linear_lift_from_flat(self.cx, resource.ty, &flat)?;
                Handle::Guest(any)
            }
        };
        self.handles.add(index, handle);
        Ok(())
    }
}

fn too_many() -> wasmtime::Error {
    wasmtime::Error::msg(format!(
        "a component may pass at most {MOST} resources at once, in {MOST_PARTS} parts of values"
    ))
}
