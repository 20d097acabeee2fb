//! What passes the scan can be read by wasmparser, on a small stack and in a little memory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scan::{Limits, Refusal};
use wasmparser::{Validator, WasmFeatures};

/// As a dirty scheduler of the Erlang VM has it.
const STACK: usize = 320 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let scanned = scan::binary(bytes, &Limits::default());
    match scanned {
        Ok(()) => validate(bytes.to_vec()),
        Err(Refusal::Exceeded { limit, value, most, offset }) => {
            assert!(value > most, "{limit:?}");
            assert!(offset <= bytes.len());
        }
        Err(Refusal::Malformed { offset }) => {
            assert!(offset <= bytes.len());
            // Nothing that wasmparser accepts is malformed.
            assert!(!valid(bytes), "malformed at {offset}, but valid");
        }
    }
});

fn validate(bytes: Vec<u8>) {
    let thread = std::thread::Builder::new().stack_size(STACK);
    let validated = thread.spawn(move || valid(&bytes)).map(|thread| thread.join());
    assert!(matches!(validated, Ok(Ok(_))));
}

fn valid(bytes: &[u8]) -> bool {
    Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).is_ok()
}
