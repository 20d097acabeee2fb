//! Functions for Elixir: see lib/@name@.ex.
const std = @import("std");
const wasmex = @import("wasmex.zig");

comptime {
    _ = wasmex;
}

/// Takes a string and returns one.
export fn greet(pointer: [*]const u8, length: usize) u64 {
    const text = std.mem.concat(wasmex.allocator, u8, &.{ "Hello, ", pointer[0..length], "!" }) catch @panic("no memory");
    return wasmex.returned(text);
}

export fn add(a: i32, b: i32) i32 {
    return a +% b;
}
