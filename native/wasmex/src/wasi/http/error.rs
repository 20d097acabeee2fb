//! Errors as the codes of `wasi:http`. No text here comes from the host.

use crate::wasi::http::limits::HEAD;
use rustls::AlertDescription;
use std::error::Error as _;
use std::io::{self, ErrorKind};
use wasmtime_wasi_http::Error;

/// The response head, including informational ones before it, is too large.
#[derive(Debug)]
pub struct HeadTooLarge;

impl std::fmt::Display for HeadTooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the head is too large")
    }
}

impl std::error::Error for HeadTooLarge {}

/// The error for a response whose head is too large.
pub fn head_too_large() -> Error {
    Error::HttpResponseHeaderSectionSize(Some(HEAD as u32))
}

/// A text, for users who do not get codes.
pub fn text(error: &Error) -> String {
    match error {
        Error::HttpRequestDenied => "the host is not allowed".into(),
        Error::DestinationIpProhibited => "the name leads to an address that is not allowed".into(),
        Error::LoopDetected => "too many redirects".into(),
        Error::ConnectionTimeout
        | Error::ConnectionReadTimeout
        | Error::ConnectionWriteTimeout
        | Error::HttpResponseTimeout
        | Error::DnsTimeout => "timeout".into(),
        Error::DnsError { .. } | Error::DestinationNotFound => "the name was not found".into(),
        Error::ConnectionRefused => "can't connect: connection refused".into(),
        Error::DestinationUnavailable | Error::DestinationIpUnroutable => {
            "can't connect: no route to the host".into()
        }
        Error::ConnectionTerminated | Error::HttpResponseIncomplete => {
            "the server closed the connection before the end of its response".into()
        }
        Error::ConnectionLimitReached => "too many connections are open".into(),
        Error::TlsCertificateError => "the server's certificate is not valid".into(),
        Error::TlsProtocolError | Error::TlsAlertReceived { .. } => "TLS failed".into(),
        Error::ConfigurationError => "there are no certificates to trust".into(),
        Error::HttpRequestUriInvalid => "invalid URL".into(),
        Error::HttpRequestUriTooLong => "the URL is too long".into(),
        Error::HttpRequestMethodInvalid => "invalid HTTP method".into(),
        Error::HttpRequestHeaderSectionSize(_) => "the headers of the request are too large".into(),
        Error::HttpResponseHeaderSectionSize(_) | Error::HttpResponseTrailerSectionSize(_) => {
            "the headers of the response are too large".into()
        }
        Error::HttpResponseBodySize(Some(most)) => too_long(*most),
        other => format!("the HTTP exchange failed: {other:?}"),
    }
}

/// The error code for a body.
pub fn too_long(most: u64) -> String {
    format!("HTTP response exceeds the configured maximum number of bytes: {most}")
}

/// A name that could not be resolved, for any reason.
pub fn dns() -> Error {
    Error::DnsError {
        rcode: None,
        info_code: None,
    }
}

/// A failed connection.
pub fn from_connect(error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        ErrorKind::TimedOut => Error::ConnectionTimeout,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Error::ConnectionTerminated,
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
            Error::DestinationIpUnroutable
        }
        ErrorKind::PermissionDenied => Error::DestinationIpProhibited,
        _ => match error.raw_os_error() {
            // EMFILE, ENFILE: the same numbers on every Unix.
            Some(23 | 24) => Error::ConnectionLimitReached,
            _ => Error::DestinationUnavailable,
        },
    }
}

/// A failed handshake, or a later TLS error.
pub fn from_tls(error: &io::Error) -> Error {
    match inner::<rustls::Error>(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => alert_received(*alert),
        Some(_) => Error::TlsProtocolError,
        None if error.kind() == ErrorKind::UnexpectedEof => Error::TlsProtocolError,
        None => from_io(error),
    }
}

fn alert_received(alert: AlertDescription) -> Error {
    Error::TlsAlertReceived {
        alert_id: Some(alert.into()),
        alert_message: alert.as_str().map(str::to_string),
    }
}

fn from_io(error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::TimedOut => Error::ConnectionReadTimeout,
        _ => Error::ConnectionTerminated,
    }
}

/// A hyper error before the response head.
pub fn from_hyper(error: &hyper::Error) -> Error {
    if error.is_parse_too_large() {
        return head_too_large();
    }
    if let Some(io) = source::<io::Error>(error) {
        return match inner::<HeadTooLarge>(io) {
            Some(HeadTooLarge) => head_too_large(),
            None if inner::<rustls::Error>(io).is_some() => from_tls(io),
            None => from_io(io),
        };
    }
    if error.is_timeout() {
        Error::HttpResponseTimeout
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        Error::ConnectionTerminated
    } else {
        Error::HttpProtocolError
    }
}

/// A hyper error in the middle of a body.
pub fn from_body(error: &hyper::Error) -> Error {
    let Some(io) = source::<io::Error>(error) else {
        return match from_hyper(error) {
            Error::ConnectionTerminated => Error::HttpResponseIncomplete,
            other => other,
        };
    };
    match io.kind() {
        _ if inner::<rustls::Error>(io).is_some() => from_tls(io),
        // hyper has no distinct error for oversized trailers.
        ErrorKind::InvalidData if io.to_string().contains("trailers") => {
            Error::HttpResponseTrailerSectionSize(Some(HEAD as u32))
        }
        ErrorKind::InvalidData | ErrorKind::InvalidInput => Error::HttpResponseTransferCoding(None),
        _ => Error::HttpResponseIncomplete,
    }
}

fn source<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    error.source()?.downcast_ref()
}

fn inner<E: std::error::Error + 'static>(error: &io::Error) -> Option<&E> {
    error.get_ref()?.downcast_ref()
}
