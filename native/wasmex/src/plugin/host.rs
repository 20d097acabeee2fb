//! Access to a plug-in's store from Elixir, between calls and within a host function.

use crate::guest::access;
use crate::guest::cell::StoreCell;
use crate::guest::host_term;
use crate::guest::via::Via;
use crate::plugin::memory::{self, PIECE};
use crate::plugin::state::State;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::error::{Error, Result};
use crate::vm::janitor;
use crate::vm::resource::ResourceArc;
use crate::vm::terms::binary;
use crate::vm::weight;
use rustler::{Binary, Encoder, Env, NifResult, Term};
use std::collections::HashMap;

type Cell = ResourceArc<StoreCell>;

fn guest<T>(result: wasmtime::Result<T>) -> Result<T> {
    result.map_err(Error::Guest)
}

/// `{length, bytes}` of a block: at most one chunk of its bytes, from `from` on; nil if none begins at this offset.
#[rustler::nif]
fn plugin_block_read<'a>(env: Env<'a>, cell: Cell, offset: u64, from: usize, via: Via) -> Term<'a> {
    access::reply(env, &cell, via, |mut cx| {
        let (bytes, _) = guest(memory::block(&mut cx, offset))?;
        let piece = bytes.map(|bytes| {
            let rest = bytes.get(from..).unwrap_or(&[]);
            (bytes.len(), binary(env, &rest[..rest.len().min(PIECE)]))
        });
        Ok(piece.encode(env))
    })
}

/// The offset of a new block that begins with these bytes; 0 for an empty one. [`plugin_block_write`] writes the rest.
#[rustler::nif]
fn plugin_block_new<'a>(
    env: Env<'a>,
    cell: Cell,
    length: usize,
    bytes: Binary<'a>,
    via: Via,
) -> Term<'a> {
    access::reply(env, &cell, via, |mut cx| {
        Ok(guest(memory::put_start(&mut cx, length, &bytes))?.encode(env))
    })
}

/// Writes bytes within the memory.
#[rustler::nif]
fn plugin_block_write<'a>(
    env: Env<'a>,
    cell: Cell,
    offset: u64,
    bytes: Binary<'a>,
    via: Via,
) -> Term<'a> {
    access::reply(env, &cell, via, |mut cx| {
        guest(memory::write(&mut cx, offset, &bytes))?;
        Ok(atoms::ok().encode(env))
    })
}

#[rustler::nif]
fn plugin_block_free<'a>(env: Env<'a>, cell: Cell, offset: u64, via: Via) -> Term<'a> {
    access::reply(env, &cell, via, |mut cx| {
        guest(memory::free(&mut cx, offset))?;
        Ok(atoms::ok().encode(env))
    })
}

/// Makes the block at this offset the text of the error.
#[rustler::nif]
fn plugin_set_error<'a>(env: Env<'a>, cell: Cell, offset: u64, via: Via) -> Term<'a> {
    access::reply(env, &cell, via, |mut cx| {
        guest(memory::set_error(&mut cx, offset))?;
        Ok(atoms::ok().encode(env))
    })
}

/// `%{key => value}`
#[rustler::nif(schedule = "DirtyCpu")]
fn plugin_vars<'a>(env: Env<'a>, cell: Cell, via: Via) -> Term<'a> {
    access::reply(env, &cell, via, |mut cx| {
        let state = guest(State::of(cx.data_mut()))?;
        let vars: HashMap<&str, Term> = state
            .vars
            .iter()
            .map(|(key, value)| (key, binary(env, value)))
            .collect();
        Ok(vars.encode(env))
    })
}

/// Sets a variable, or deletes it with nil.
#[rustler::nif]
fn plugin_put_var<'a>(
    env: Env<'a>,
    cell: Cell,
    key: &str,
    value: Option<Binary<'a>>,
    via: Via,
) -> Term<'a> {
    if value.is_some_and(|value| value.len() > PIECE) && dirty::is_normal() {
        let args = [
            cell.encode(env),
            key.encode(env),
            value.encode(env),
            via.encode(env),
        ];
        return dirty::again(env, c"plugin_put_var", &args);
    }
    access::reply(env, &cell, via, |mut cx| {
        let vars = &mut guest(State::of(cx.data_mut()))?.vars;
        match value {
            Some(value) => vars.set(key, value.to_vec()),
            None => vars.unset(key),
        }
        .map_err(|text| Error::text(atoms::full(), text))?;
        Ok(atoms::ok().encode(env))
    })
}

#[rustler::nif]
fn plugin_clear_vars<'a>(env: Env<'a>, cell: Cell, via: Via) -> Term<'a> {
    access::reply(env, &cell, via, |mut cx| {
        let vars = guest(State::of(cx.data_mut()))?.vars.take();
        if vars.are_large() {
            janitor::drop_elsewhere(vars);
        }
        Ok(atoms::ok().encode(env))
    })
}

/// `%{key => value}`
#[rustler::nif(schedule = "DirtyCpu")]
fn plugin_config<'a>(env: Env<'a>, cell: Cell, via: Via) -> Term<'a> {
    access::reply(env, &cell, via, |mut cx| {
        Ok(guest(State::of(cx.data_mut()))?.config.encode(env))
    })
}

/// Sets entries; nil deletes one.
#[rustler::nif]
fn plugin_put_config<'a>(
    env: Env<'a>,
    cell: Cell,
    entries: Term<'a>,
    via: Via,
) -> NifResult<Term<'a>> {
    if host_term::is_larger(entries, weight::MOST, true) {
        let args = [cell.encode(env), entries, via.encode(env)];
        return Ok(dirty::again(env, c"plugin_put_config", &args));
    }
    let entries: Vec<(String, Option<String>)> = entries.decode()?;
    Ok(access::reply(env, &cell, via, |mut cx| {
        let config = &mut guest(State::of(cx.data_mut()))?.config;
        for (key, value) in entries {
            match value {
                Some(value) => config.insert(key, value),
                None => config.remove(&key),
            };
        }
        Ok(atoms::ok().encode(env))
    }))
}
