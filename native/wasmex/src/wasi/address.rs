//! Classes of IP addresses, in particular those that nobody intends when allowing a name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where an address leads, as far as its number tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The public internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network: RFC 1918, RFC 6598, RFC 4193.
    Private,
    /// Link-local: RFC 3927, RFC 4291.
    LinkLocal,
    /// The metadata services of clouds, which hand out credentials.
    Metadata,
    /// Unspecified; systems treat it as their own address.
    Unspecified,
    /// Multicast, broadcast, documentation, benchmarks, tunnels and reserved ranges.
    Reserved,
}

/// An IPv4-mapped IPv6 address becomes that IPv4 address.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Class {
    /// The class of an address.
    pub fn of(address: IpAddr) -> Class {
        match address {
            IpAddr::V4(v4) => Class::of_v4(v4),
            IpAddr::V6(v6) => Class::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Class {
        match address.octets() {
            [0, ..] => Class::Unspecified,
            [127, ..] => Class::Loopback,
            // AWS, Google, Azure, OpenStack, DigitalOcean; Alibaba; Azure's wire server; Oracle.
            [169, 254, 169, 254] | [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => {
                Class::Metadata
            }
            // Container credentials on AWS.
            [169, 254, 170, 2] | [169, 254, 170, 23] => Class::Metadata,
            [169, 254, ..] => Class::LinkLocal,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Class::Private,
            [192, 0, 0, _] | [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => {
                Class::Reserved
            }
            [192, 88, 99, _] | [198, 18..=19, ..] | [224..=255, ..] => Class::Reserved,
            _ => Class::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Class {
        if address == METADATA_V6 {
            return Class::Metadata;
        }
        if address.is_unspecified() {
            return Class::Unspecified;
        }
        if address.is_loopback() {
            return Class::Loopback;
        }
        if let Some(inner) = embedded(address) {
            return Class::of_v4(inner);
        }
        match address.segments() {
            [0xfe80..=0xfebf, ..] => Class::LinkLocal,
            [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Class::Private,
            // Network-specific IPv4 translation (RFC 8215): the destination is unknown.
            [0x64, 0xff9b, 1, ..] => Class::Private,
            // Teredo and other protocol assignments, ORCHID, documentation.
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
                Class::Reserved
            }
            // Public addresses begin with 2 or 3.
            [0x2000..=0x3fff, ..] => Class::Public,
            _ => Class::Reserved,
        }
    }
}

const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// The IPv4 address that receives packets to this one: mapped, compatible, translated (RFC 2765, RFC 6052), 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Some(Ipv4Addr::new(a, b, c, d))
}
