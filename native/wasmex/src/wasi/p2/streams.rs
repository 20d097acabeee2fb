//! Reading from streams, some at a time.
//!
//! wasmtime returns as much as a guest asks for, if the stream has it, in one go: that may be a whole response body. The
//! interface allows to return less.

use bytes::Bytes;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::sync::io::streams::StreamError as Code;
use wasmtime_wasi::p2::{DynInputStream, StreamError, StreamResult};

/// Bytes that one call returns.
const MOST: u64 = 1 << 20;

/// The linker must allow shadowing.
pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    streams.func_wrap("[method]input-stream.read", read)?;
    streams.func_wrap_async("[method]input-stream.blocking-read", |cx, params| {
        Box::new(blocking_read(cx, params))
    })
}

type Params = (Resource<DynInputStream>, u64);
type Answer = Result<(std::result::Result<Vec<u8>, Code>,)>;

fn read<T: WasiView>(mut cx: StoreContextMut<T>, (stream, length): Params) -> Answer {
    let table = cx.data_mut().ctx().table;
    let result = table.get_mut(&stream)?.read(length.min(MOST) as usize);
    told(table, result)
}

async fn blocking_read<T: WasiView>(
    mut cx: StoreContextMut<'_, T>,
    (stream, length): Params,
) -> Answer {
    let table = cx.data_mut().ctx().table;
    let stream = table.get_mut(&stream)?;
    let result = stream.blocking_read(length.min(MOST) as usize).await;
    told(table, result)
}

fn told(table: &mut ResourceTable, result: StreamResult<Bytes>) -> Answer {
    Ok((match result {
        Ok(bytes) => Ok(bytes.into()),
        Err(StreamError::Closed) => Err(Code::Closed),
        Err(StreamError::LastOperationFailed(error)) => {
            Err(Code::LastOperationFailed(table.push(error)?))
        }
        Err(StreamError::Trap(error)) => return Err(error),
    },))
}
