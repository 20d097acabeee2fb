//! Permissions for a plug-in's HTTP requests, and its last response.

use crate::wasi::http::client::Client;
use crate::wasi::http::error::too_long;
use crate::wasi::http::head::Head;
use crate::wasi::http::limits::{Limits, Policy};
use crate::wasi::http::tls::Roots;
use crate::wasi::rules::Rules;
use rustler::{Binary, Decoder, NifResult, Term};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::{Error, Result};

const REDIRECTS: u32 = 10;

/// Concurrent requests of one plug-in: it waits for each.
const EXCHANGES: usize = 1;

/// Settings shared by all plug-ins of a template.
#[derive(Clone)]
pub struct Sending {
    /// Whether the library's client sends, rather than an Elixir function.
    by_client: bool,
    time: Duration,
    roots: Roots,
}

/// `{by_client, milliseconds, certificates | nil}`
impl<'a> Decoder<'a> for Sending {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let (by_client, time, roots): (bool, u64, Option<Vec<Binary>>) = term.decode()?;
        Ok(Sending {
            by_client,
            time: Duration::from_millis(time),
            roots: Roots::of(roots.as_deref()),
        })
    }
}

/// Permissions, and the last response.
pub struct Http {
    rules: Rules,
    sending: Sending,
    /// Created at the first request: most plug-ins make none.
    client: Option<Arc<Client>>,
    /// Maximum size of a response body.
    pub max_response: u64,
    keep_headers: bool,
    /// Bytes of a response that count as the plug-in's memory.
    pub held: u64,
    pub status: u16,
    /// A JSON object.
    pub headers: Option<Vec<u8>>,
}

/// The response to a request.
#[derive(Default)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A request, as plug-ins encode it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    pub url: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub method: Option<String>,
}

impl Asked {
    /// The method, `GET` by default.
    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("GET")
    }

    fn head(&self) -> Result<Head> {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        Head::new(self.method(), &self.url, headers).map_err(Error::msg)
    }
}

impl Http {
    /// No response yet, with these permissions.
    pub fn new(
        sending: Sending,
        allowed_hosts: Vec<String>,
        max_response: u64,
        keep_headers: bool,
    ) -> Self {
        Http {
            rules: Rules::of_patterns(allowed_hosts),
            sending,
            client: None,
            max_response,
            keep_headers,
            held: 0,
            status: 0,
            headers: keep_headers.then(|| b"{}".to_vec()),
        }
    }

    /// The head of a request, if its target is allowed.
    pub fn check(&self, asked: &Asked) -> Result<Head> {
        let head = asked.head()?;
        match head.allowed(&self.rules) {
            true => Ok(head),
            false => Err(Error::msg(format!(
                "HTTP request to {} is not allowed",
                head.uri
            ))),
        }
    }

    /// The client; `None` if an Elixir function sends.
    pub fn client(&mut self) -> Option<Arc<Client>> {
        if !self.sending.by_client {
            return None;
        }
        let client = self.client.get_or_insert_with(|| {
            Client::new(Policy {
                rules: self.rules.clone(),
                roots: self.sending.roots.clone(),
                limits: Limits {
                    time: self.sending.time,
                    request: None,
                    response: Some(self.max_response),
                    total: None,
                    exchanges: EXCHANGES,
                    redirects: REDIRECTS,
                },
            })
        });
        Some(client.clone())
    }

    /// Clears the last response when a request begins.
    pub fn forget(&mut self) {
        self.status = 0;
        self.headers = self.keep_headers.then(|| b"{}".to_vec());
    }

    /// Stores the response, unless it is too long.
    pub fn remember(&mut self, response: &Response) -> Result<()> {
        if response.body.len() as u64 > self.max_response {
            return Err(Error::msg(too_long(self.max_response)));
        }
        self.status = response.status;
        if self.keep_headers {
            // If several have the same name, the last one.
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
