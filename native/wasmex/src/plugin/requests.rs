//! What a plug-in's HTTP requests may be, and what is known of the last one.

use crate::plugin::glob;
use std::collections::BTreeMap;
use url::Url;
use wasmtime::{Error, Result};

/// What is allowed, and what is known of the last response.
pub struct Http {
    allowed_hosts: Vec<String>,
    max_response: usize,
    keep_headers: bool,
    pub status: u16,
    /// A JSON object.
    pub headers: Option<Vec<u8>>,
}

/// The answer to a request.
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Http {
    pub fn new(allowed_hosts: Vec<String>, max_response: usize, keep_headers: bool) -> Self {
        Http {
            allowed_hosts,
            max_response,
            keep_headers,
            status: 0,
            headers: keep_headers.then(|| b"{}".to_vec()),
        }
    }

    /// Whether a request may go there.
    pub fn check(&self, url: &str) -> Result<()> {
        match is_allowed(&self.allowed_hosts, url) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::msg(format!("HTTP request to {url} is not allowed"))),
            Err(error) => Err(Error::msg(format!("Invalid URL: {error:?}"))),
        }
    }

    /// A request begins.
    pub fn forget(&mut self) {
        self.status = 0;
        self.headers = self.keep_headers.then(|| b"{}".to_vec());
    }

    /// It has its response, which may be too long.
    pub fn remember(&mut self, response: &Response) -> Result<()> {
        if response.body.len() > self.max_response {
            return Err(Error::msg(format!(
                "HTTP response exceeds the configured maximum number of bytes: {}",
                self.max_response
            )));
        }
        self.status = response.status;
        if self.keep_headers {
            // Of several with one name the last.
            let headers: BTreeMap<String, &String> = response
                .headers
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect();
            self.headers = Some(serde_json::to_vec(&headers)?);
        }
        Ok(())
    }
}

/// The host counts, without user and port.
fn is_allowed(patterns: &[String], url: &str) -> std::result::Result<bool, url::ParseError> {
    let url = Url::parse(url)?;
    let host = url.host_str().unwrap_or_default();
    Ok(patterns.iter().any(|pattern| glob::matches(pattern, host)))
}

/// Whether a redirect may lead there.
#[rustler::nif]
fn plugin_http_allowed(patterns: Vec<String>, url: &str) -> bool {
    is_allowed(&patterns, url).unwrap_or(false)
}
