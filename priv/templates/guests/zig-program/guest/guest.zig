//! A program: arguments, standard input and output.
const std = @import("std");
const wasi = @import("wasi.zig");

pub fn main() void {
    const arguments = wasi.arguments();
    const name = if (arguments.len > 1) std.mem.span(arguments[1]) else "world";

    var buffer: [4096]u8 = undefined;
    var size: usize = 0;
    while (true) {
        const bytes = wasi.read(&buffer);
        if (bytes.len == 0) break;
        size += bytes.len;
    }

    var line: [1024]u8 = undefined;
    wasi.print(std.fmt.bufPrint(&line, "Hello, {s}! ({d} bytes of input)\n", .{ name, size }) catch "Hello!\n");
}
