//! Allow-lists of addresses and names: this file alone decides where a guest may connect, send and listen.
//!
//! A name is checked twice: before the lookup, and again for each resulting address. A name may only lead to public
//! addresses, whatever DNS returns; others must be listed as addresses in addition. `localhost` is this machine.

use crate::wasi::address::{Class, canonical};
use crate::wasi::pattern;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// One entry of a list: a target and its ports.
#[derive(Clone, Debug)]
pub struct Rule {
    pub target: Target,
    pub ports: RangeInclusive<u16>,
}

/// The targets of a rule.
#[derive(Clone, Debug)]
pub enum Target {
    /// Any name, and any address except link-local, cloud metadata and unspecified ones.
    Any,
    /// The addresses with this prefix.
    Net(IpAddr, u8),
    /// In lower case, without a trailing dot.
    Name(String),
    /// The same with `*`, which matches one or more characters.
    Glob(String),
    /// A name or a literal address, matched by a [`pattern`](crate::wasi::pattern).
    Pattern(String),
    /// A name written by the application itself: its addresses may be private.
    Own(String),
}

/// An allow-list.
#[derive(Clone, Debug, Default)]
pub struct Rules(Vec<Rule>);

impl Rule {
    /// At any port.
    pub fn anywhere(target: Target) -> Self {
        Rule {
            target,
            ports: 0..=u16::MAX,
        }
    }
}

impl Rules {
    /// A list of these rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        Rules(rules)
    }

    /// Of patterns, see [`Target::Pattern`].
    pub fn of_patterns(patterns: Vec<String>) -> Self {
        let rule = |pattern| Rule::anywhere(Target::Pattern(pattern));
        Rules(patterns.into_iter().map(rule).collect())
    }

    /// Whether it allows nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the name may be looked up, for this port if one is known.
    pub fn allow_name(&self, name: &str, port: Option<u16>) -> bool {
        let name = normal(name);
        self.at(port).any(|rule| rule.target.has_name(&name))
    }

    /// Whether an address written by the guest may be reached.
    pub fn allow_literal(&self, address: SocketAddr) -> bool {
        let address = canonical(address);
        self.at(Some(address.port()))
            .any(|rule| rule.target.has_literal(address.ip()))
    }

    /// Whether an address returned by a lookup of the name may be reached.
    pub fn allow_named(&self, name: &str, address: SocketAddr) -> bool {
        let address = canonical(address);
        let port = Some(address.port());
        self.allow_name(name, port)
            && match Class::of(address.ip()) {
                Class::Public => true,
                Class::Loopback if is_localhost(&normal(name)) => true,
                class => self.at(port).any(|rule| match &rule.target {
                    Target::Net(_, 1..) => rule.target.has_address(address.ip()),
                    Target::Pattern(pattern) => {
                        is_of_addresses(pattern) && rule.target.has_literal(address.ip())
                    }
                    Target::Own(own) => *own == normal(name) && may_be_any(class),
                    _ => false,
                }),
            }
    }

    /// Whether a guest's socket may be bound to this address.
    pub fn allow_bind(&self, address: SocketAddr) -> bool {
        let address = canonical(address);
        self.at(Some(address.port()))
            .any(|rule| rule.target.has_address(address.ip()))
    }

    fn at(&self, port: Option<u16>) -> impl Iterator<Item = &Rule> {
        self.0
            .iter()
            .filter(move |rule| port.is_none_or(|port| rule.ports.contains(&port)))
    }
}

fn may_be_any(class: Class) -> bool {
    !matches!(
        class,
        Class::LinkLocal | Class::Metadata | Class::Unspecified
    )
}

/// Whether the pattern is meant for addresses: it begins with a digit, or with one in brackets.
fn is_of_addresses(pattern: &str) -> bool {
    pattern
        .trim_start_matches('[')
        .starts_with(|char: char| char.is_ascii_digit() || char == ':')
}

/// Whether the pattern is exactly this address.
fn is_exactly(pattern: &str, address: IpAddr) -> bool {
    let address = address.to_string();
    pattern == address || pattern == format!("[{address}]")
}

/// Names of this machine, whatever a DNS server returns (RFC 6761).
pub fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// In lower case, without the root dot.
pub fn normal(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase()
}

impl Target {
    /// A network; one of IPv4-mapped IPv6 addresses is an IPv4 network.
    pub fn net(address: IpAddr, bits: u8) -> Self {
        match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(v4)) if bits >= 96 => Target::Net(v4.into(), bits - 96),
            _ => Target::Net(address, bits),
        }
    }

    fn has_name(&self, name: &str) -> bool {
        match self {
            Target::Any => true,
            Target::Name(wanted) => wanted == name,
            Target::Glob(pattern) => glob(pattern.as_bytes(), name.as_bytes()),
            Target::Pattern(pattern) => pattern::matches(pattern, name),
            Target::Own(own) => own == name,
            Target::Net(..) => false,
        }
    }

    /// Whether it covers this address; special addresses must be listed explicitly.
    fn has_literal(&self, address: IpAddr) -> bool {
        let is_meant = match self {
            Target::Any | Target::Net(_, 0) => may_be_any(Class::of(address)),
            Target::Pattern(pattern) => {
                may_be_any(Class::of(address)) || is_exactly(pattern, address)
            }
            _ => true,
        };
        is_meant && self.has_address(address)
    }

    fn has_address(&self, address: IpAddr) -> bool {
        match self {
            Target::Any => true,
            Target::Net(net, bits) => in_net(*net, *bits, address),
            Target::Pattern(pattern) => {
                let address = address.to_string();
                pattern::matches(pattern, &address)
                    || pattern::matches(pattern, &format!("[{address}]"))
            }
            Target::Name(_) | Target::Glob(_) | Target::Own(_) => false,
        }
    }
}

fn in_net(net: IpAddr, bits: u8, address: IpAddr) -> bool {
    match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => {
            same_bits(net.to_bits().into(), address.to_bits().into(), 32, bits)
        }
        (IpAddr::V6(net), IpAddr::V6(address)) => {
            same_bits(net.to_bits(), address.to_bits(), 128, bits)
        }
        _ => false,
    }
}

fn same_bits(one: u128, other: u128, width: u32, bits: u8) -> bool {
    let rest = width.saturating_sub(bits.into());
    (one ^ other).checked_shr(rest).unwrap_or(0) == 0
}

/// Takes at most the product of both lengths in time, for any pattern.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // The last star, and the length of its match.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n + 1));
                p += 1;
                n += 1;
            }
            Some(&byte) if byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, end)) => {
                    star = Some((at, end + 1));
                    p = at + 1;
                    n = end + 1;
                }
                None => return false,
            },
        }
    }
    p == pattern.len()
}
