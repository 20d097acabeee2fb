//! The functions of `extism:host/env`, which plug-ins import.
//!
//! The kernel (kernel.wat) implements those that access bytes:
//!
//! | function | type | meaning |
//! |---|---|---|
//! | alloc | (i64 n) → i64 | a new block of n bytes, all zero; 0 when n is 0 or there is no room |
//! | load_u8, load_u64 | (i64) → i32, i64 | little endian; outside of the memory 0 |
//! | store_u8, store_u64 | (i64, i32), (i64, i64) | the same; outside nothing happens |
//! | input_offset, input_length | () → i64 | the input block; 0, 0 when it is empty |
//! | input_load_u8, input_load_u64 | (i64) → i32, i64 | relative to the input; not wholly inside 0 |
//! | output_offset, output_length | () → i64 | what was set |
//! | error_get | () → i64 | the block with the error's text, or 0 |
//!
//! Offsets are into the kernel's memory, see memory.rs. Where a function takes ownership of a block, it frees it.

use crate::guest::data::StoreData;
use crate::plugin::http;
use crate::plugin::log;
use crate::plugin::memory::{self, argument, put_all};
use crate::plugin::state::{ENV, State};
use wasmtime::{AsContextMut, Caller, Error, Linker, Result, StoreContextMut};

type Host<'a> = Caller<'a, StoreData>;

/// Defines all of them.
pub fn define(linker: &mut Linker<StoreData>) -> Result<()> {
    blocks(linker)?;
    input_and_output(linker)?;
    config_and_vars(linker)?;
    http::define(linker)?;
    log::define(linker)
}

/// | function | type | meaning |
/// |---|---|---|
/// | free | (i64) | the block is free; where none begins nothing happens. The input's length becomes 0 with it |
/// | length, length_unsafe | (i64) → i64 | the size of the block that begins there, or 0 |
/// | memory_bytes | () → i64 | bytes that blocks can be made of |
/// | reset | () | forgets all blocks, the input, the output and the error |
fn blocks(linker: &mut Linker<StoreData>) -> Result<()> {
    linker.func_wrap(ENV, "free", |mut host: Host, offset: u64| {
        memory::free(&mut host.as_context_mut(), offset)
    })?;
    for name in ["length", "length_unsafe"] {
        linker.func_wrap(ENV, name, |mut host: Host, offset: u64| {
            memory::length(&mut host.as_context_mut(), offset)
        })?;
    }
    linker.func_wrap(ENV, "memory_bytes", |mut host: Host| {
        memory::size(&mut host.as_context_mut())
    })?;
    linker.func_wrap(ENV, "reset", |mut host: Host| {
        memory::reset(&mut host.as_context_mut())
    })?;
    Ok(())
}

/// | function | type | meaning |
/// |---|---|---|
/// | input_set | (i64 offset, i64 length) | other bytes are the input |
/// | output_set | (i64 offset, i64 length) | these bytes are the output; the last call counts |
/// | error_set | (i64) | the block is the error's text; 0 for no error |
fn input_and_output(linker: &mut Linker<StoreData>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "input_set",
        |mut host: Host, offset: u64, length: u64| {
            memory::set_input(&mut host.as_context_mut(), offset, length)
        },
    )?;
    linker.func_wrap(
        ENV,
        "output_set",
        |mut host: Host, offset: u64, length: u64| {
            memory::set_output(&mut host.as_context_mut(), offset, length)
        },
    )?;
    linker.func_wrap(ENV, "error_set", |mut host: Host, offset: u64| {
        memory::set_error(&mut host.as_context_mut(), offset)
    })?;
    Ok(())
}

/// | function | type | meaning |
/// |---|---|---|
/// | config_get | (i64 key) → i64 | the value, or 0 when there is none or it is empty. Frees the key |
/// | var_get | (i64 key) → i64 | the value, or 0. Frees the key |
/// | var_set | (i64 key, i64 value) | sets the variable; value 0 deletes it. Frees both |
fn config_and_vars(linker: &mut Linker<StoreData>) -> Result<()> {
    linker.func_wrap_async(ENV, "config_get", |mut host: Host, (key,): (u64,)| {
        Box::new(async move {
            let cx = &mut host.as_context_mut();
            let (bytes, state) = argument(cx, key, "config key")?;
            let value = state.config.get(std::str::from_utf8(bytes)?).cloned();
            memory::free(cx, key)?;
            put_all(cx, value.unwrap_or_default().as_bytes()).await
        })
    })?;
    linker.func_wrap_async(ENV, "var_get", |mut host: Host, (key,): (u64,)| {
        Box::new(async move {
            let cx = &mut host.as_context_mut();
            let (bytes, state) = argument(cx, key, "var key")?;
            let value = state.vars.get(std::str::from_utf8(bytes)?);
            memory::free(cx, key)?;
            put_all(cx, value.as_deref().map_or(&[], Vec::as_slice)).await
        })
    })?;
    linker.func_wrap_async(
        ENV,
        "var_set",
        |mut host: Host, (key, value): (u64, u64)| {
            Box::new(async move { set_var(&mut host.as_context_mut(), key, value).await })
        },
    )?;
    Ok(())
}

async fn set_var(cx: &mut StoreContextMut<'_, StoreData>, key: u64, value: u64) -> Result<()> {
    let (bytes, _) = argument(cx, key, "var key")?;
    let name = std::str::from_utf8(bytes)?.to_string();
    if value == 0 {
        State::of(cx.data_mut())?
            .vars
            .unset(&name)
            .map_err(Error::msg)?;
    } else {
        let (bytes, state) = argument(cx, value, "var value")?;
        state.vars.fits(&name, bytes.len()).map_err(Error::msg)?;
        let bytes = memory::copy(cx, value).await?;
        State::of(cx.data_mut())?
            .vars
            .set(&name, bytes)
            .map_err(Error::msg)?;
    }
    memory::free(cx, key)?;
    memory::free(cx, value)
}
