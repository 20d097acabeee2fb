//! The scan of WIT ends, whatever the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scan::{Limits, Refusal};

fuzz_target!(|text: &[u8]| {
    if let Err(Refusal::Exceeded { value, most, offset, .. }) = scan::wit(text, &Limits::default()) {
        assert!(value > most && offset <= text.len());
    }
    let _ = scan::wat(text, &Limits::default());
});
