//! A component that passes the scan is read by wit-parser on the stack that the library gives it: it may fail, and no more.
//! The library rejects core modules before: the parser allocates what their sections claim.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scan::Limits;
use scan_fuzz::on_deep_stack;
use wit_parser::decoding::decode;

fuzz_target!(|bytes: &[u8]| {
    if !scan::is_module(bytes) && scan::binary(bytes, &Limits::default()).is_ok() {
        let bytes = bytes.to_vec();
        on_deep_stack(move || decode(&bytes).is_ok());
    }
});
