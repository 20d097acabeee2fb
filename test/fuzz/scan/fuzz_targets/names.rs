//! Names of functions come out short and printable, whatever they are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scan_fuzz::vm::demangle::{cut, demangle, printable};

/// As long as a name in a text may be, with a few bytes of what was escaped and the mark of the cut.
const LONGEST: usize = 256 + 16;

fuzz_target!(|bytes: &[u8]| {
    let name = String::from_utf8_lossy(bytes);
    for text in [demangle(&name), printable(&name)] {
        assert!(text.len() <= LONGEST, "{} bytes", text.len());
        assert!(!text.chars().any(|c| c.is_control()), "{text:?}");
    }
    assert!(cut(&name).len() <= 256);
});
