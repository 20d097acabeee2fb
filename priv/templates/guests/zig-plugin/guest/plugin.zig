//! Input, output and error of a plug-in, through the functions of Extism's ABI. PDKs with more: https://extism.org.
const std = @import("std");

extern "extism:host/env" fn input_length() u64;
extern "extism:host/env" fn input_load_u8(index: u64) u8;
extern "extism:host/env" fn alloc(length: u64) u64;
extern "extism:host/env" fn store_u8(offset: u64, byte: u8) void;
extern "extism:host/env" fn output_set(offset: u64, length: u64) void;
extern "extism:host/env" fn error_set(offset: u64) void;

pub const allocator = std.heap.wasm_allocator;

/// The input of the call. Freed by the caller, or with the plug-in.
pub fn input() []u8 {
    const bytes = allocator.alloc(u8, @intCast(input_length())) catch @panic("no memory");
    for (bytes, 0..) |*byte, i| byte.* = input_load_u8(i);
    return bytes;
}

/// Sets the output and returns 0, for success.
pub fn output(parts: []const []const u8) i32 {
    var length: u64 = 0;
    for (parts) |part| length += part.len;
    output_set(block(parts, length), length);
    return 0;
}

/// Sets the error message and returns 1, for failure.
pub fn fail(text: []const u8) i32 {
    error_set(block(&.{text}, text.len));
    return 1;
}

fn block(parts: []const []const u8, length: u64) u64 {
    const offset = alloc(length);
    var at = offset;
    for (parts) |part| {
        for (part) |byte| {
            store_u8(at, byte);
            at += 1;
        }
    }
    return offset;
}
