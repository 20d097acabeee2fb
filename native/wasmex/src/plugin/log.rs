//! Logging by plug-ins: each text is passed to an Elixir function in the calling process.

use crate::guest::data::StoreData;
use crate::plugin::functions::{self, Bytes, LOG};
use crate::plugin::memory::{self, argument};
use crate::plugin::state::{ENV, State};
use rustler::Encoder;
use wasmtime::{AsContextMut, Caller, Error, Linker, Result};

const LEVELS: [&str; 5] = [
    "log_trace",
    "log_debug",
    "log_info",
    "log_warn",
    "log_error",
];

/// | function | type | meaning |
/// |---|---|---|
/// | log_trace, log_debug, log_info, log_warn, log_error | (i64) | writes the text and frees it; below the level it only frees |
/// | get_log_level | () → i32 | 0 for trace to 4 for error; 2147483647 when nothing is logged |
pub fn define(linker: &mut Linker<StoreData>) -> Result<()> {
    for (level, name) in LEVELS.into_iter().enumerate() {
        linker.func_wrap_async(
            ENV,
            name,
            move |mut host: Caller<'_, StoreData>, (text,): (u64,)| {
                Box::new(async move { write(&mut host, level as i32, text).await })
            },
        )?;
    }
    linker.func_wrap(ENV, "get_log_level", |mut host: Caller<'_, StoreData>| {
        Ok(State::of(host.data_mut())?.log_level)
    })?;
    Ok(())
}

async fn write(host: &mut Caller<'_, StoreData>, level: i32, text: u64) -> Result<()> {
    let mut cx = host.as_context_mut();
    if level < State::of(cx.data_mut())?.log_level {
        return memory::free(&mut cx, text);
    }
    let length = argument(&mut cx, text, "log message")?.0.len() as u64;
    let bytes = Bytes::take(&mut cx, (text, length)).await?;
    let params = functions::in_env(|env| {
        let text = bytes.term(env, &mut cx)?;
        Ok::<_, Error>(functions::params(env, &[level.encode(env), text]))
    })??;
    memory::free(&mut cx, text)?;
    functions::elixir(&mut cx, LOG, params).await?;
    Ok(())
}
