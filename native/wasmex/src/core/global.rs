//! Global variables.

use crate::core::types;
use crate::guest::access;
use crate::guest::cell::StoreCell;
use crate::guest::host_term;
use crate::guest::values;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::error::Error;
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};
use rustler::{Encoder, Env, NifResult, Term};
use wasmtime::{AsContextMut, Global, GlobalType, Mutability};

/// A global variable.
pub struct GlobalResource {
    /// Its store.
    pub cell: ResourceArc<StoreCell>,
    /// wasmtime's global.
    pub global: Global,
    _live: Live,
}

named_resource!(GlobalResource, "global");
impl std::panic::RefUnwindSafe for GlobalResource {}

impl GlobalResource {
    /// A handle of this global.
    pub fn new(cell: ResourceArc<StoreCell>, global: Global) -> ResourceArc<Self> {
        ResourceArc::new(GlobalResource {
            cell,
            global,
            _live: Live::new(Kind::Global),
        })
    }
}

type Handle = ResourceArc<GlobalResource>;

/// A global created by the host.
#[rustler::nif]
fn global_new<'a>(
    env: Env<'a>,
    cell: ResourceArc<StoreCell>,
    ty: Term<'a>,
    value: Term<'a>,
    mutable: bool,
    via: Via,
) -> NifResult<Term<'a>> {
    if host_term::is_large(value) || cell.allocates_slowly() {
        let (mutable, via) = (mutable.encode(env), via.encode(env));
        let args = [cell.encode(env), ty, value, mutable, via];
        return Ok(dirty::again(env, c"global_new", &args));
    }
    let ty = types::decode_value(ty)?;
    Ok(access::reply_rooted(env, &cell, via, |mut cx| {
        let value = values::decode(cx.as_context_mut(), value, &ty)?;
        let mutability = match mutable {
            true => Mutability::Var,
            false => Mutability::Const,
        };
        let global = Global::new(&mut cx, GlobalType::new(ty, mutability), value);
        global
            .map(|global| GlobalResource::new(cell.clone(), global).encode(env))
            .map_err(Error::Guest)
    }))
}

#[rustler::nif]
fn global_get<'a>(env: Env<'a>, global: Handle, via: Via) -> Term<'a> {
    access::reply_rooted(env, &global.cell, via, |mut cx| {
        let value = global.global.get(&mut cx);
        values::encode(env, cx, &value)
    })
}

#[rustler::nif]
fn global_set<'a>(env: Env<'a>, global: Handle, value: Term<'a>, via: Via) -> Term<'a> {
    if host_term::is_large(value) || global.cell.allocates_slowly() {
        let args = [global.encode(env), value, via.encode(env)];
        return dirty::again(env, c"global_set", &args);
    }
    access::reply_rooted(env, &global.cell, via, |mut cx| {
        let ty = global.global.ty(&cx);
        if ty.mutability() == Mutability::Const {
            return Err(Error::text(
                atoms::immutable(),
                "immutable global cannot be set",
            ));
        }
        let value = values::decode(cx.as_context_mut(), value, ty.content())?;
        global.global.set(&mut cx, value).map_err(Error::Guest)?;
        Ok(atoms::ok().encode(env))
    })
}

#[rustler::nif]
fn global_type<'a>(env: Env<'a>, global: Handle, via: Via) -> Term<'a> {
    access::reply_rooted(env, &global.cell, via, |cx| {
        Ok(types::global(env, &global.global.ty(&cx)))
    })
}

#[rustler::nif]
fn global_store(global: Handle) -> ResourceArc<StoreCell> {
    global.cell.clone()
}
