//! Allowed socket addresses, as the types in `lib/wasmex/options/type/` encode them.
//!
//! A place is `{:any | :tcp | :udp, rule}` or `{:unix, path}`; an entry of `dial` may also be `{:tls, rule}`, or
//! `{:answer, rule, process}`; an entry of `listen` is `{:bind, place}`,
//! `{:listen, :tcp, address, port}`, `{:listen, :unix, path}`, or `{:handle, listener}`.

use crate::vm::atoms;
use crate::vm::resource::ResourceArc;
use crate::vm::terms;
use crate::wasi::rules::{Rule, Rules};
use crate::wasi::sockets::answer::AnswerResource;
use crate::wasi::sockets::handle::ListenerResource;
use rustler::{Atom, Decoder, Error, NifResult, Term};
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};

/// An entry of `dial` or `bind`.
pub enum Place {
    /// For TCP, for UDP, or for both.
    Net {
        tcp: bool,
        udp: bool,
        rule: Rule,
    },
    Unix(PathBuf),
    /// For TCP, where the host adds TLS.
    Tls(Rule),
    /// For TCP, handled by an Elixir process.
    Answer(Rule, ResourceArc<AnswerResource>),
}

impl<'a> Decoder<'a> for Place {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        if let Ok((_, rule, process)) = term.decode::<(Atom, Rule, _)>() {
            return Ok(Place::Answer(rule, process));
        }
        let (scheme, place): (Atom, Term) = term.decode()?;
        if scheme == atoms::unix() {
            return Ok(Place::Unix(place.decode::<&str>()?.into()));
        }
        if scheme == atoms::tls() {
            return Ok(Place::Tls(place.decode()?));
        }
        let any = scheme == atoms::any();
        Ok(Place::Net {
            tcp: any || scheme == atoms::tcp(),
            udp: any || scheme == atoms::udp(),
            rule: place.decode()?,
        })
    }
}

/// Places, grouped by use.
#[derive(Default)]
pub struct Places {
    pub tcp: Vec<Rule>,
    pub udp: Vec<Rule>,
    pub unix: Paths,
    pub tls: Vec<Rule>,
    pub answers: Vec<(Rules, ResourceArc<AnswerResource>)>,
}

impl Places {
    /// Groups them.
    pub fn new(places: Vec<Place>) -> Self {
        let mut sorted = Places::default();
        for place in places {
            match place {
                Place::Net { tcp, udp, rule } => {
                    if udp {
                        sorted.udp.push(rule.clone());
                    }
                    if tcp {
                        sorted.tcp.push(rule);
                    }
                }
                Place::Unix(path) => sorted.unix.0.push(path),
                Place::Tls(rule) => sorted.tls.push(rule),
                Place::Answer(rule, process) => {
                    sorted.answers.push((Rules::new(vec![rule]), process));
                }
            }
        }
        sorted
    }
}

/// Paths of unix sockets; one that ends with `/*` includes all paths in that directory.
#[derive(Default)]
pub struct Paths(Vec<PathBuf>);

impl Paths {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the path is allowed. It must be absolute and must not contain `..`.
    pub fn allow(&self, path: &Path) -> bool {
        let plain = |part| matches!(part, Component::Normal(_) | Component::RootDir);
        path.is_absolute()
            && path.components().all(plain)
            && self.0.iter().any(|allowed| match allowed.file_name() {
                Some(name) if name == "*" => allowed.parent() == path.parent(),
                _ => allowed == path,
            })
    }
}

/// An entry of `listen`.
pub enum Listen {
    /// An address that the guest may bind itself.
    Bind(Place),
    /// A listener that the host opens for the guest.
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// An open listener.
    Handle(ResourceArc<ListenerResource>),
}

impl Listen {
    /// Whether the guest gets a listener.
    pub fn opens(&self) -> bool {
        !matches!(self, Listen::Bind(_))
    }

    /// The address that the guest may use itself.
    pub fn place(self) -> Option<Place> {
        match self {
            Listen::Bind(place) => Some(place),
            _ => None,
        }
    }
}

impl<'a> Decoder<'a> for Listen {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        if let Ok((kind, value)) = term.decode::<(Atom, Term)>() {
            return match terms::resource::<ListenerResource>(value) {
                Some(listener) => Ok(Listen::Handle(listener)),
                None if kind == atoms::bind() => Ok(Listen::Bind(value.decode()?)),
                None => Err(Error::BadArg),
            };
        }
        if let Ok((_, _, address, port)) = term.decode::<(Atom, Atom, &str, u16)>() {
            let ip: IpAddr = address.parse().map_err(|_| Error::BadArg)?;
            return Ok(Listen::Tcp(SocketAddr::new(ip, port)));
        }
        let (_, _, path): (Atom, Atom, &str) = term.decode()?;
        Ok(Listen::Unix(path.into()))
    }
}
