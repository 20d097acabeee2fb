//! The text of a guest's backtrace.
//!
//! It looks like wasmtime's own, which cannot be used: that demangles all names of all frames without a limit.

use super::demangle::{demangle, printable};
use std::error::Error;
use std::fmt::{self, Write};
use wasmtime::{FrameInfo, FrameSymbol, WasmBacktrace};

/// Frames shown, innermost first, wasmtime's default; profiles have more.
pub const FRAMES: usize = 20;

/// Inlined functions shown per frame.
pub const INLINED: usize = 16;

/// Bytes shown of each cause.
const CAUSE: usize = 64 * 1024;

/// The first line of wasmtime's backtrace.
const TITLE: &str = "error while executing at wasm backtrace:";

/// The frames of an error's backtrace.
pub fn frames(error: &wasmtime::Error) -> &[FrameInfo] {
    let trace = error.downcast_ref::<WasmBacktrace>();
    trace.map_or(&[], |trace| trace.frames())
}

/// The texts of an error and of its causes, outermost first.
pub fn causes(error: &wasmtime::Error) -> Vec<String> {
    error
        .chain()
        .map(|cause| text(cause).unwrap_or_else(|| trace(frames(error))))
        .collect()
}

/// An error's own message; `None` if it is a backtrace.
fn text(cause: &(dyn Error + 'static)) -> Option<String> {
    let mut text = Cause::default();
    let _ = write!(text, "{cause}");
    if text.is_trace() {
        return None;
    }
    let limit = LIMITS.iter().find(|(part, _)| text.0.contains(part));
    Some(match limit {
        Some((_, limit)) => format!("{} ({limit})", text.0),
        None => text.0,
    })
}

/// Parts of wasmtime's messages of limits, and what they leave out: how much is allowed, and where that is set.
const LIMITS: [(&str, &str); 3] = [
    (
        "fuel allocated for hostcalls has been exhausted",
        "`hostcall_fuel` of `Wasmex.StoreLimits` is the limit in bytes for one call; without it, 1 MiB to a function of \
         WASI and 128 MiB to Elixir",
    ),
    (
        "resource table has no free keys",
        "the guests of a store may have 1,000 files, streams, sockets and requests",
    ),
    (
        "total size of fields exceeds limit",
        "HTTP fields may have 128 KiB",
    ),
];

/// Keeps the start of a text, and only the title of a backtrace, since names follow it.
#[derive(Default)]
struct Cause(String);

impl Cause {
    fn is_trace(&self) -> bool {
        self.0.starts_with(TITLE)
    }
}

impl Write for Cause {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = CAUSE - self.0.len();
        self.0.push_str(&more[..more.floor_char_boundary(room)]);
        match self.is_trace() || more.len() > room {
            true => Err(fmt::Error),
            false => Ok(()),
        }
    }
}

fn trace(frames: &[FrameInfo]) -> String {
    let mut text = TITLE.to_string();
    for (index, frame) in frames.iter().take(FRAMES).enumerate() {
        text.push_str(&format!("\n  {index:>3}: "));
        if let Some(offset) = frame.module_offset() {
            text.push_str(&format!("{offset:#8x} - "));
        }
        text.push_str(&place(frame));
    }
    let more = frames.len().saturating_sub(FRAMES);
    if more > 0 {
        text.push_str(&format!("\n  ... {more} more"));
    }
    text
}

fn place(frame: &FrameInfo) -> String {
    let symbols = frame.symbols();
    if symbols.is_empty() {
        let module = frame.module().name().unwrap_or("<unknown>");
        return format!("{}!{}", printable(module), function(frame));
    }
    let mut text = String::new();
    for (index, symbol) in symbols.iter().take(INLINED).enumerate() {
        let name = match symbol.name() {
            Some(name) => demangle(name),
            None if index == 0 => function(frame),
            None => "<inlined function>".to_string(),
        };
        if index > 0 {
            text.push_str("\n                - ");
        }
        text.push_str(&name);
        text.push_str(&line(symbol));
    }
    text
}

fn function(frame: &FrameInfo) -> String {
    match frame.func_name() {
        Some(name) => demangle(name),
        None => format!("<wasm function {}>", frame.func_index()),
    }
}

/// The source location of a function.
fn line(symbol: &FrameSymbol) -> String {
    let Some(file) = symbol.file() else {
        return String::new();
    };
    let mut text = format!("\n                    at {}", printable(file));
    for number in [symbol.line(), symbol.column()] {
        let Some(number) = number else { break };
        text.push_str(&format!(":{number}"));
    }
    text
}
