//! Tables of references.

use crate::core::memory::OutOfBounds;
use crate::core::types;
use crate::guest::access;
use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::host_term;
use crate::guest::values;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::error::{Error, Result};
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};
use rustler::{Encoder, Env, NifResult, Term};
use wasmtime::{AsContextMut, Ref, StoreContextMut, Table, TableType, ValType};

/// A table.
pub struct TableResource {
    /// Its store.
    pub cell: ResourceArc<StoreCell>,
    /// wasmtime's table.
    pub table: Table,
    _live: Live,
}

named_resource!(TableResource, "table");
impl std::panic::RefUnwindSafe for TableResource {}

impl TableResource {
    /// A handle of this table.
    pub fn new(cell: ResourceArc<StoreCell>, table: Table) -> ResourceArc<Self> {
        ResourceArc::new(TableResource {
            cell,
            table,
            _live: Live::new(Kind::Table),
        })
    }
}

type Handle = ResourceArc<TableResource>;

/// Whether a NIF that fills this many elements must move to a dirty scheduler.
fn is_long(elements: u64) -> bool {
    elements > 16_384 && dirty::is_normal()
}

/// A table created by the host, filled with one value.
#[rustler::nif]
fn table_new<'a>(
    env: Env<'a>,
    cell: ResourceArc<StoreCell>,
    (element, value): (Term<'a>, Term<'a>),
    (minimum, maximum): (u32, Option<u32>),
    via: Via,
) -> NifResult<Term<'a>> {
    if host_term::is_large(value) || is_long(minimum.into()) || cell.allocates_slowly() {
        let (contents, sizes) = ((element, value), (minimum, maximum));
        let (contents, sizes) = (contents.encode(env), sizes.encode(env));
        let args = [cell.encode(env), contents, sizes, via.encode(env)];
        return Ok(dirty::again(env, c"table_new", &args));
    }
    let ValType::Ref(element) = types::decode_value(element)? else {
        return Err(rustler::Error::BadArg);
    };
    Ok(access::reply_rooted(env, &cell, via, |mut cx| {
        let ty = ValType::Ref(element.clone());
        let init = values::decode(cx.as_context_mut(), value, &ty)?;
        let init = init
            .ref_()
            .ok_or_else(|| values::mismatch(None, &ty, value))?;
        let ty = TableType::new(element, minimum, maximum);
        let table = Table::new(&mut cx, ty, init);
        table
            .map(|table| TableResource::new(cell.clone(), table).encode(env))
            .map_err(|error| Error::text(atoms::limit(), error))
    }))
}

#[rustler::nif]
fn table_size<'a>(env: Env<'a>, table: Handle, via: Via) -> Term<'a> {
    access::reply_rooted(env, &table.cell, via, |cx| {
        Ok(table.table.size(&cx).encode(env))
    })
}

#[rustler::nif]
fn table_get<'a>(env: Env<'a>, table: Handle, index: u64, via: Via) -> Term<'a> {
    access::reply_rooted(env, &table.cell, via, |mut cx| {
        match table.table.get(&mut cx, index) {
            Some(element) => values::encode(env, cx, &element.into()),
            None => Err(outside(&table, cx, index)),
        }
    })
}

#[rustler::nif]
fn table_set<'a>(env: Env<'a>, table: Handle, index: u64, value: Term<'a>, via: Via) -> Term<'a> {
    if host_term::is_large(value) || table.cell.allocates_slowly() {
        let args = [table.encode(env), index.encode(env), value, via.encode(env)];
        return dirty::again(env, c"table_set", &args);
    }
    access::reply_rooted(env, &table.cell, via, |mut cx| {
        let element = element(&table, cx.as_context_mut(), value)?;
        if index >= table.table.size(&cx) {
            return Err(outside(&table, cx, index));
        }
        table
            .table
            .set(&mut cx, index, element)
            .map_err(Error::Guest)?;
        Ok(atoms::ok().encode(env))
    })
}

/// Returns the previous size.
#[rustler::nif]
fn table_grow<'a>(env: Env<'a>, table: Handle, delta: u64, value: Term<'a>, via: Via) -> Term<'a> {
    if host_term::is_large(value) || is_long(delta) || table.cell.allocates_slowly() {
        let args = [table.encode(env), delta.encode(env), value, via.encode(env)];
        return dirty::again(env, c"table_grow", &args);
    }
    access::reply_rooted(env, &table.cell, via, |mut cx| {
        let element = element(&table, cx.as_context_mut(), value)?;
        let before = table.table.grow(&mut cx, delta, element);
        before
            .map(|size| size.encode(env))
            .map_err(|error| Error::text(atoms::grow(), error))
    })
}

#[rustler::nif]
fn table_type<'a>(env: Env<'a>, table: Handle, via: Via) -> Term<'a> {
    access::reply_rooted(env, &table.cell, via, |cx| {
        Ok(types::table(env, &table.table.ty(&cx)))
    })
}

fn element(table: &Handle, mut cx: StoreContextMut<'_, StoreData>, value: Term) -> Result<Ref> {
    let ty = ValType::Ref(table.table.ty(&cx).element().clone());
    let decoded = values::decode(cx.as_context_mut(), value, &ty)?;
    decoded
        .ref_()
        .ok_or_else(|| values::mismatch(None, &ty, value))
}

fn outside(table: &Handle, cx: StoreContextMut<'_, StoreData>, index: u64) -> Error {
    OutOfBounds {
        offset: index,
        size: 1,
        limit: table.table.size(&cx),
    }
    .into()
}

#[rustler::nif]
fn table_store(table: Handle) -> ResourceArc<StoreCell> {
    table.cell.clone()
}
