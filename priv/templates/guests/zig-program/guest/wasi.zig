//! Standard streams, arguments and variables, straight on WASI: Zig's own change from version to version.
const std = @import("std");
const wasi = std.os.wasi;
pub const allocator = std.heap.wasm_allocator;

pub fn print(text: []const u8) void {
    var rest = text;
    while (rest.len > 0) {
        const parts = [_]wasi.ciovec_t{.{ .base = rest.ptr, .len = rest.len }};
        var done: usize = 0;
        if (wasi.fd_write(1, &parts, parts.len, &done) != .SUCCESS) wasi.proc_exit(1);
        rest = rest[done..];
    }
}

/// Up to `buffer.len` bytes of standard input; none at its end.
pub fn read(buffer: []u8) []u8 {
    const parts = [_]wasi.iovec_t{.{ .base = buffer.ptr, .len = buffer.len }};
    var done: usize = 0;
    if (wasi.fd_read(0, &parts, parts.len, &done) != .SUCCESS) wasi.proc_exit(1);
    return buffer[0..done];
}

/// The arguments; the first is the name of the program.
pub fn arguments() [][*:0]u8 {
    return texts(wasi.args_sizes_get, wasi.args_get);
}

/// The value of an environment variable.
pub fn variable(name: []const u8) ?[]const u8 {
    for (texts(wasi.environ_sizes_get, wasi.environ_get)) |text| {
        const pair = std.mem.span(text);
        if (pair.len > name.len and pair[name.len] == '=' and std.mem.eql(u8, pair[0..name.len], name))
            return pair[name.len + 1 ..];
    }
    return null;
}

fn texts(sizes: anytype, get: anytype) [][*:0]u8 {
    var count: usize = 0;
    var bytes: usize = 0;
    if (sizes(&count, &bytes) != .SUCCESS) wasi.proc_exit(1);
    const list = allocator.alloc([*:0]u8, count) catch wasi.proc_exit(1);
    const buffer = allocator.alloc(u8, bytes) catch wasi.proc_exit(1);
    if (get(list.ptr, buffer.ptr) != .SUCCESS) wasi.proc_exit(1);
    return list;
}
