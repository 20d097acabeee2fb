//! References to a guest's own objects (structs, arrays, exceptions), opaque to Elixir.

use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::foreign;
use crate::guest::handoff;
use crate::guest::values;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};
use crate::vm::terms;
use rustler::{Encoder, Env, Term};
use wasmtime::{AnyRef, ExnRef, ExternRef, OwnedRooted, StoreContextMut, Val, ValType};

/// Keeps the object alive until it is freed with its store at the latest.
pub struct ReferenceResource {
    cell: ResourceArc<StoreCell>,
    object: Object,
    _live: Live,
}

enum Object {
    Any(OwnedRooted<AnyRef>),
    Exn(OwnedRooted<ExnRef>),
    Extern(OwnedRooted<ExternRef>),
}

named_resource!(ReferenceResource, "reference");
impl std::panic::RefUnwindSafe for ReferenceResource {}

/// `%Wasmex.Reference{}`, or nil for a null reference.
pub fn encode<'a>(
    env: Env<'a>,
    cx: &mut StoreContextMut<'_, StoreData>,
    value: &Val,
) -> Result<Term<'a>> {
    let cell = handoff::current_cell().ok_or(Error::Cancelled)?;
    let object = match value {
        Val::AnyRef(Some(any)) => Object::Any(any.to_owned_rooted(cx).map_err(Error::Guest)?),
        Val::ExnRef(Some(exn)) => Object::Exn(exn.to_owned_rooted(cx).map_err(Error::Guest)?),
        Val::ExternRef(Some(ext)) => Object::Extern(ext.to_owned_rooted(cx).map_err(Error::Guest)?),
        _ => return Ok(atoms::nil().encode(env)),
    };
    let resource = ResourceArc::new(ReferenceResource {
        cell,
        object,
        _live: Live::new(Kind::Reference),
    });
    Ok(terms::handle(env, atoms::wasmex_reference(), resource))
}

/// The object in a `%Wasmex.Reference{}`, which must belong to this store.
pub fn decode(cx: &mut StoreContextMut<'_, StoreData>, term: Term, ty: &ValType) -> Result<Val> {
    let kind = atoms::reference();
    let mismatch = || values::mismatch(None, ty, term);
    let resource = terms::resource::<ReferenceResource>(term)
        .ok_or_else(|| foreign::of_node(kind, term).unwrap_or_else(mismatch))?;
    foreign::check(cx, kind, resource.cell.id)?;
    Ok(match &resource.object {
        Object::Any(object) => Val::AnyRef(Some(object.to_rooted(cx))),
        Object::Exn(object) => Val::ExnRef(Some(object.to_rooted(cx))),
        Object::Extern(object) => Val::ExternRef(Some(object.to_rooted(cx))),
    })
}
