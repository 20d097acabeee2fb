//! Samples a guest's stack at each epoch tick in which it runs.

use super::firefox::Firefox;
use crate::core::engine_config::MAX_FRAMES;
use crate::guest::access;
use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::extension::{Extension, NewStore};
use crate::guest::slice;
use crate::guest::ticker::{ShortTicks, TICK};
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::demangle::demangle;
use crate::vm::error::{Error, Result};
use crate::vm::resource::ResourceArc;
use crate::vm::terms::binary;
use rustler::{Encoder, Env, NifResult, Term};
use std::collections::HashMap;
use std::time::Instant;
use wasmtime::{FrameInfo, Store, StoreContextMut, WasmBacktrace};

/// Maximum number of distinct stacks; later ones count for their outermost function only.
const MAX_STACKS: usize = 10_000;

/// The samples of one profile.
pub struct Profiler {
    /// Every sample with its time.
    firefox: Firefox,
    /// The number of samples of each stack, outermost function first.
    stacks: HashMap<Vec<usize>, u64>,
    /// The functions by module and index, as positions in the list of names.
    functions: HashMap<(usize, u32), usize>,
    names: Vec<String>,
    last: Instant,
    _ticks: ShortTicks,
}

impl Profiler {
    fn sample(&mut self, cx: &StoreContextMut<'_, StoreData>) {
        let now = Instant::now();
        let since = now.duration_since(std::mem::replace(&mut self.last, now));
        let trace = WasmBacktrace::force_capture(cx);
        let frames = trace.frames().iter().take(MAX_FRAMES).rev();
        let mut stack: Vec<usize> = frames.map(|frame| self.function(frame)).collect();
        if self.stacks.len() >= MAX_STACKS && !self.stacks.contains_key(&stack) {
            stack.truncate(1);
        }
        // If other processes had the scheduler in between, the guest used at most one slice of that time.
        self.firefox.sample(&stack, since.min(TICK));
        *self.stacks.entry(stack).or_default() += 1;
    }

    fn function(&mut self, frame: &FrameInfo) -> usize {
        let index = frame.func_index();
        // Identifies the module: its code address is unique.
        let module = frame.module().text().as_ptr() as usize;
        *self.functions.entry((module, index)).or_insert_with(|| {
            let name = match frame.func_name() {
                Some(name) => demangle(name),
                None => format!("function {index}"),
            };
            self.firefox.add_function(&name);
            self.names.push(name);
            self.names.len() - 1
        })
    }
}

/// Attached to stores made with `:profile`.
pub struct Profiling;

impl Extension for Profiling {
    fn attach(&self, store: &mut NewStore<'_>) -> Result<()> {
        if store.is_asked(atoms::profile()) {
            sample_at_ticks(&mut store.store);
        }
        Ok(())
    }
}

/// Replaces the plain yield at each tick.
fn sample_at_ticks(store: &mut Store<StoreData>) {
    slice::yield_at_ticks(store, |cx| {
        if let Some(mut profiler) = cx.data_mut().slots.take::<Profiler>() {
            profiler.sample(cx);
            cx.data_mut().slots.insert::<Profiler>(profiler);
        }
    });
}

#[rustler::nif]
fn profile_start<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>, name: String) -> Term<'a> {
    access::reply(env, &cell, Via::Store, |mut cx| {
        cx.data_mut().slots.insert::<Profiler>(Profiler {
            firefox: Firefox::new(&name),
            stacks: HashMap::new(),
            functions: HashMap::new(),
            names: Vec::new(),
            _ticks: ShortTicks::keep(),
            last: Instant::now(),
        });
        Ok(atoms::ok())
    })
}

/// `{:ok, {json, [{[name], count}]} | nil}`: the Firefox profile, and each stack with its samples.
#[rustler::nif(schedule = "DirtyCpu")]
fn profile_finish<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>) -> NifResult<Term<'a>> {
    let profiler = access::with(env, &cell, Via::Store, |mut cx| {
        cx.data_mut().slots.take::<Profiler>()
    });
    let profiler = match profiler {
        Ok(Some(profiler)) => profiler,
        Ok(None) => return Ok((atoms::ok(), atoms::nil()).encode(env)),
        Err(term) => return Ok(term),
    };
    let json = match profiler.firefox.finish() {
        Ok(json) => json,
        Err(error) => return Ok(Error::text(atoms::config(), error).to_term(env)),
    };
    let names = profiler.names;
    let name = |place: &usize| names.get(*place).map_or("?", String::as_str).encode(env);
    let stacks: Vec<_> = profiler
        .stacks
        .iter()
        .map(|(stack, count)| (stack.iter().map(name).collect::<Vec<_>>(), *count))
        .collect();
    Ok((atoms::ok(), (binary(env, &json), stacks)).encode(env))
}
