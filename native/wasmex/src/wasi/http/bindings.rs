//! Replacements for two incomplete `wasi:http` functions of wasmtime.

use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p2::IoError;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{Error, RequestOptions, WasiHttpView};

/// The linker must allow shadowing.
pub fn mend<T: WasiHttpView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    // wasmtime's looks for an `error-code` in a stream's error but stores a different type there.
    linker
        .instance("wasi:http/types@0.2.12")?
        .func_wrap("http-error-code", error_code)?;
    // wasmtime's keeps the options of each request as long as the store, and there may be at most a thousand.
    linker
        .instance("wasi:http/outgoing-handler@0.2.12")?
        .func_wrap("handle", handle)
}

fn error_code<T: WasiHttpView>(
    mut cx: StoreContextMut<T>,
    (error,): (Resource<IoError>,),
) -> Result<(Option<ErrorCode>,)> {
    let table = cx.data_mut().http().table;
    Ok((code(table.get(&error)?),))
}

type Handled = std::result::Result<Resource<HostFutureIncomingResponse>, ErrorCode>;

fn handle<T: WasiHttpView>(
    mut cx: StoreContextMut<T>,
    (request, options): (
        Resource<HostOutgoingRequest>,
        Option<Resource<RequestOptions>>,
    ),
) -> Result<(Handled,)> {
    let mut http = cx.data_mut().http();
    let used = options.as_ref().map(Resource::rep);
    let future = outgoing_handler::Host::handle(&mut http, request, options);
    if let Some(used) = used {
        http.table
            .delete(Resource::<RequestOptions>::new_own(used))?;
    }
    Ok((match future {
        Ok(future) => Ok(future),
        Err(error) => Err(error.downcast()?),
    },))
}

/// The error code in a body stream's error.
fn code(error: &wasmtime::Error) -> Option<ErrorCode> {
    if let Some(code) = error.downcast_ref::<ErrorCode>() {
        return Some(code.clone());
    }
    Some(match error.downcast_ref::<Error>()? {
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::TlsProtocolError => ErrorCode::TlsProtocolError,
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::HttpResponseTrailerSectionSize(size) => {
            ErrorCode::HttpResponseTrailerSectionSize(*size)
        }
        Error::HttpResponseTransferCoding(coding) => {
            ErrorCode::HttpResponseTransferCoding(coding.clone())
        }
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        _ => ErrorCode::HttpProtocolError,
    })
}
