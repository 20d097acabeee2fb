//! The scan of WIT ends, whatever the text, and what passes it is read by wit-parser on the stack that the library gives it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scan::{Limits, Refusal};
use scan_fuzz::on_deep_stack;
use std::path::Path;
use wit_parser::Resolve;

fuzz_target!(|text: &[u8]| {
    let _ = scan::wat(text, &Limits::default());
    match (scan::wit(text, &Limits::default()), std::str::from_utf8(text)) {
        (Err(Refusal::Exceeded { value, most, offset, .. }), _) => {
            assert!(value > most && offset <= text.len());
        }
        (Ok(()), Ok(text)) => {
            let text = scan::without_empty_comments(text).into_owned();
            on_deep_stack(move || Resolve::default().push_str(Path::new("a.wit"), &text).is_ok());
        }
        _ => {}
    }
});
