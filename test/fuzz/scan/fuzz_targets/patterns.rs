//! Patterns of hosts match in a time that is a product of both lengths, and addresses have one class in all their forms.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scan_fuzz::{pattern, wasi::address::Class, wasi::address::canonical};
use std::net::{IpAddr, SocketAddr};

fuzz_target!(|input: (String, String, [u8; 16])| {
    let (glob, text, octets) = input;
    pattern::matches(&glob, &text);
    assert!(pattern::matches("*", &text));
    let address = SocketAddr::new(IpAddr::from(octets), 80);
    let canonical = canonical(address);
    if let IpAddr::V4(v4) = canonical.ip() {
        assert_eq!(Class::of(v4.to_ipv6_mapped().to_canonical()), Class::of(v4.into()));
    }
    let _ = Class::of(canonical.ip());
});
