//! Code whose instances start from the state of an initialised instance.
//!
//! The guest does not run here. The code is instrumented to export its whole state and runs in the VM, under the limits
//! of its store. The state read there is then written into the code.

use crate::protocol::Kind;
use crate::slim;
use crate::state::State;
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wasmparser::{Parser, Payload, ValType};
use wasmtime::{Error, Result};
use wasmtime_wizer::{ComponentInstanceState, InstanceState, SnapshotVal, Wizer};

/// Exports all memories and globals of the code.
pub fn instrument(kind: Kind, code: &[u8]) -> Result<Vec<u8>> {
    let instrumented = caught(|| {
        Ok(match kind {
            Kind::Module => Wizer::new().instrument(code)?.1,
            Kind::Component => Wizer::new().instrument_component(code)?.1,
        })
    })?;
    if matches!(kind, Kind::Module) && !has_exports(code) {
        return Err(Error::msg("it exports nothing, so a snapshot has no use"));
    }
    Ok(instrumented)
}

/// Wizer adds its own exports to those that exist.
fn has_exports(module: &[u8]) -> bool {
    let mut payloads = Parser::new(0).parse_all(module);
    payloads.any(|payload| matches!(payload, Ok(Payload::ExportSection(_))))
}

/// Writes a state into the code.
pub fn take(kind: Kind, state: &State) -> Result<Vec<u8>> {
    caught(|| write(kind, state))
}

/// Wizer panics on what it does not expect: that becomes an error.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(hook);
    result.unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<&str>().copied();
        let text = text.or_else(|| cause.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("for an unknown reason");
        Err(Error::msg(format!("Wizer cannot rewrite it: {text}")))
    })
}

fn write(kind: Kind, state: &State) -> Result<Vec<u8>> {
    let mut wizer = Wizer::new();
    wizer.init_func(state.init).keep_init_func(state.keep_init);
    if let Some(start) = state.start {
        wizer.func_rename("_start", start);
    }
    let mut read = Read {
        state,
        missing: None,
    };
    let code = match kind {
        Kind::Module => {
            let (context, _) = wizer.instrument(state.code)?;
            slim::without_passive_data(&at_once(wizer.snapshot(&context, &mut read))??)?
        }
        Kind::Component => {
            let (context, _) = wizer.instrument_component(state.code)?;
            at_once(wizer.snapshot_component(&context, &mut read))??
        }
    };
    match read.missing {
        None => Ok(code),
        Some(name) => Err(Error::msg(format!("the state has no {name}"))),
    }
}

/// The result of a future that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Ok(result),
        Poll::Pending => Err(Error::msg("a snapshot waits for something")),
    }
}

/// Reads from a saved state. Missing values are recorded, because the interface has no way to report them.
struct Read<'a> {
    state: &'a State<'a>,
    missing: Option<String>,
}

impl Read<'_> {
    fn global(&mut self, name: &str, zero: SnapshotVal) -> SnapshotVal {
        self.state.global(name).unwrap_or_else(|| {
            self.missing = Some(name.to_owned());
            zero
        })
    }

    fn memory(&mut self, name: &str, contents: impl FnOnce(&[u8])) {
        match self.state.memory(name) {
            Some(bytes) => contents(bytes),
            None => {
                self.missing = Some(name.to_owned());
                contents(&[]);
            }
        }
    }
}

impl InstanceState for Read<'_> {
    async fn global_get(&mut self, name: &str, ty: ValType) -> SnapshotVal {
        let zero = match ty {
            ValType::I64 => SnapshotVal::I64(0),
            ValType::F32 => SnapshotVal::F32(0),
            ValType::F64 => SnapshotVal::F64(0),
            ValType::V128 => SnapshotVal::V128(0),
            _ => SnapshotVal::I32(0),
        };
        self.global(name, zero)
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        self.memory(name, contents);
    }
}

impl ComponentInstanceState for Read<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        _instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        self.memory(func, contents);
    }

    async fn call_func_ret_s32(&mut self, _instance: &str, func: &str) -> i32 {
        match self.global(func, SnapshotVal::I32(0)) {
            SnapshotVal::I32(value) => value,
            _ => 0,
        }
    }

    async fn call_func_ret_s64(&mut self, _instance: &str, func: &str) -> i64 {
        match self.global(func, SnapshotVal::I64(0)) {
            SnapshotVal::I64(value) => value,
            _ => 0,
        }
    }

    async fn call_func_ret_f32(&mut self, _instance: &str, func: &str) -> u32 {
        match self.global(func, SnapshotVal::F32(0)) {
            SnapshotVal::F32(value) => value,
            _ => 0,
        }
    }

    async fn call_func_ret_f64(&mut self, _instance: &str, func: &str) -> u64 {
        match self.global(func, SnapshotVal::F64(0)) {
            SnapshotVal::F64(value) => value,
            _ => 0,
        }
    }
}
