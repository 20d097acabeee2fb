//! The options of outgoing HTTP, from Elixir.

use crate::vm::term_box::TermBox;
use crate::wasi::http::client::Client;
use crate::wasi::http::function::Functions;
use crate::wasi::http::limits::{Limits, Policy};
use crate::wasi::http::outgoing::Outgoing;
use crate::wasi::http::target::Target;
use crate::wasi::http::tls::Roots;
use crate::wasi::rules::{Rule, Rules};
use rustler::{Binary, Decoder, NifResult, NifStruct, Term};
use std::sync::Arc;
use std::time::Duration;

/// Built by `Wasmex.Components.HTTP.Policy`; sizes in bytes, nil for no limit.
#[derive(NifStruct)]
#[rustler(decode)]
#[module = "Wasmex.Components.HTTP.Policy.Native"]
struct HttpOptions<'a> {
    rules: Option<Vec<Rule>>,
    /// Trusted certificates in DER; nil for the system's.
    cacerts: Option<Vec<Binary<'a>>>,
    /// Milliseconds.
    timeout: u64,
    max_request: Option<u64>,
    max_response: Option<u64>,
    max_total: Option<u64>,
    exchanges: u32,
    redirects: u32,
    /// nil for the client.
    function: Term<'a>,
}

/// Shared by the store's data, which sends, and its cell, which is woken and closed.
#[derive(Clone)]
pub struct OutgoingTerm(pub Arc<Outgoing>);

impl<'a> Decoder<'a> for OutgoingTerm {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let options: HttpOptions = term.decode()?;
        Ok(OutgoingTerm(Arc::new(options.outgoing())))
    }
}

impl HttpOptions<'_> {
    fn outgoing(self) -> Outgoing {
        let limits = Limits {
            time: Duration::from_millis(self.timeout),
            request: self.max_request,
            response: self.max_response,
            total: self.max_total,
            exchanges: self.exchanges as usize,
            redirects: self.redirects,
        };
        let rules = self.rules.map(Rules::new);
        if self.function.is_fun() {
            let function = TermBox::new(self.function);
            return Outgoing::Function(Box::new(Functions::new(function, rules, limits)));
        }
        Outgoing::Client(Client::new(Policy {
            rules: rules.unwrap_or_default(),
            roots: Roots::of(self.cacerts.as_deref()),
            limits,
        }))
    }
}

/// Whether these rules could allow this URL's host.
#[rustler::nif]
fn http_allowed(rules: Vec<Rule>, url: String) -> bool {
    let uri = url.parse().ok();
    let target = uri.and_then(|uri| Target::of(&uri).ok());
    target.is_some_and(|target| target.allowed(&Rules::new(rules)))
}

/// Whether these rules allow an address: by itself or, with a name, as a result of its lookup.
#[rustler::nif]
fn address_allowed(
    rules: Vec<Rule>,
    name: Option<String>,
    address: String,
    port: u16,
) -> Option<bool> {
    let address = (address.parse::<std::net::IpAddr>().ok()?, port).into();
    let rules = Rules::new(rules);
    Some(match name {
        Some(name) => rules.allow_named(&name, address),
        None => rules.allow_literal(address),
    })
}
