//! Strings and bytes between Elixir and this guest. Elixir allocates memory for an argument with `alloc`, and frees it with
//! `dealloc` after the call. A result is valid until the next one is returned.
const std = @import("std");

pub const allocator = std.heap.wasm_allocator;
var last: []const u8 = &.{};

export fn alloc(size: usize) ?[*]u8 {
    const memory = allocator.alloc(u8, @max(size, 1)) catch return null;
    return memory.ptr;
}

export fn dealloc(pointer: [*]u8, size: usize) void {
    allocator.free(pointer[0..@max(size, 1)]);
}

/// A result, for `returns: :bytes`, `:string` or `:json`: memory of `allocator`, which the next result frees.
pub fn returned(result: []const u8) u64 {
    if (last.len > 0) allocator.free(last);
    last = result;
    return @as(u64, @intFromPtr(result.ptr)) << 32 | result.len;
}
