//! Traps two calls deep, built with debug information: for backtraces with files and lines.
#![no_std]

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

#[unsafe(no_mangle)]
pub extern "C" fn outer(n: i32) -> i32 {
    inner(n) + 1
}

#[inline(never)]
fn inner(n: i32) -> i32 {
    if n > 0 {
        core::arch::wasm32::unreachable()
    }
    n
}
