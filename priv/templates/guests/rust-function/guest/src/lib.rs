//! Functions for Elixir: see lib/@name@.ex.

mod wasmex;

/// Takes a string and returns one.
#[unsafe(no_mangle)]
pub extern "C" fn greet(pointer: *const u8, length: usize) -> u64 {
    let name = wasmex::string(pointer, length);
    wasmex::returned(format!("Hello, {name}!"))
}

#[unsafe(no_mangle)]
pub extern "C" fn add(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}
