//! A program with one subcommand for each thing that a test wants of it: see ../README.md.
//! Straight on WASI, which keeps it under ten kilobytes.
const std = @import("std");
const wasi = std.os.wasi;
const heap = std.heap.wasm_allocator;

fn write(fd: wasi.fd_t, text: []const u8) void {
    var rest = text;
    while (rest.len > 0) {
        const parts = [_]wasi.ciovec_t{.{ .base = rest.ptr, .len = rest.len }};
        var done: usize = 0;
        if (wasi.fd_write(fd, &parts, parts.len, &done) != .SUCCESS) wasi.proc_exit(1);
        rest = rest[done..];
    }
}

fn read(buffer: []u8) []u8 {
    const parts = [_]wasi.iovec_t{.{ .base = buffer.ptr, .len = buffer.len }};
    var done: usize = 0;
    if (wasi.fd_read(0, &parts, parts.len, &done) != .SUCCESS) wasi.proc_exit(1);
    return buffer[0..done];
}

fn fail(text: []const u8) noreturn {
    write(2, text);
    write(2, "\n");
    wasi.proc_exit(1);
}


fn texts(sizes: anytype, get: anytype) [][*:0]u8 {
    var count: usize = 0;
    var bytes: usize = 0;
    if (sizes(&count, &bytes) != .SUCCESS) fail("no arguments");
    const list = heap.alloc([*:0]u8, count) catch fail("no memory");
    const buffer = heap.alloc(u8, bytes) catch fail("no memory");
    if (get(list.ptr, buffer.ptr) != .SUCCESS) fail("no arguments");
    return list;
}

fn byText(_: void, a: [*:0]u8, b: [*:0]u8) bool {
    return std.mem.lessThan(u8, std.mem.span(a), std.mem.span(b));
}

fn hello(name: []const u8) void {
    write(1, "Hello, ");
    write(1, if (name.len > 0) name else "world");
    write(1, ", from Zig!\n");
    const variables = texts(wasi.environ_sizes_get, wasi.environ_get);
    std.mem.sort([*:0]u8, variables, {}, byText);
    for (variables) |variable| {
        write(1, std.mem.span(variable));
        write(1, "\n");
    }
}

var chunk: [64 * 1024]u8 = undefined;

fn upcase() void {
    while (true) {
        const bytes = read(&chunk);
        if (bytes.len == 0) return;
        for (bytes) |*byte| byte.* = std.ascii.toUpper(byte.*);
        write(1, bytes);
    }
}

fn wc() void {
    var lines: u64 = 0;
    var words: u64 = 0;
    var count: u64 = 0;
    var in_word = false;
    while (true) {
        const bytes = read(&chunk);
        if (bytes.len == 0) break;
        count += bytes.len;
        for (bytes) |byte| {
            if (byte == '\n') lines += 1;
            const space = byte == ' ' or byte == '\n' or byte == '\t' or byte == '\r';
            if (!space and !in_word) words += 1;
            in_word = !space;
        }
    }
    var line: [80]u8 = undefined;
    write(1, std.fmt.bufPrint(&line, "{} {} {}\n", .{ lines, words, count }) catch unreachable);
}

fn sleep(ms: u64) void {
    var subscription: wasi.subscription_t = std.mem.zeroes(wasi.subscription_t);
    subscription.u.tag = .CLOCK;
    subscription.u.u.clock = .{ .id = .MONOTONIC, .timeout = ms * std.time.ns_per_ms, .precision = 0, .flags = 0 };
    var event: wasi.event_t = undefined;
    var count: usize = 0;
    _ = wasi.poll_oneoff(&subscription, &event, 1, &count);
}

fn number(text: []const u8) u64 {
    return std.fmt.parseInt(u64, text, 10) catch fail("not a number");
}

pub fn main() void {
    const args = texts(wasi.args_sizes_get, wasi.args_get);
    const command: []const u8 = if (args.len > 1) std.mem.span(args[1]) else "hello";
    const arg: []const u8 = if (args.len > 2) std.mem.span(args[2]) else "";
    const is = std.mem.eql;

    if (is(u8, command, "hello")) return hello(arg);
    if (is(u8, command, "upcase")) return upcase();
    if (is(u8, command, "wc")) return wc();
    if (is(u8, command, "sleep")) return sleep(number(arg));
    while (is(u8, command, "spin")) std.mem.doNotOptimizeAway(arg.len);
    while (is(u8, command, "eat")) {
        const block = heap.alloc(u8, 1 << 20) catch fail("no memory");
        @memset(block, 1);
        std.mem.doNotOptimizeAway(block.ptr);
    }
    while (is(u8, command, "flood")) write(1, "a line of a flood\n");
    if (is(u8, command, "exit")) wasi.proc_exit(@truncate(number(arg)));
    if (is(u8, command, "panic")) @panic("the guest panics");
    if (is(u8, command, "stderr")) {
        write(2, arg);
        return write(2, "\n");
    }
    fail("unknown command");
}

/// Says why before it traps; the standard library's own would bring its formatting along.
pub const panic = std.debug.FullPanic(struct {
    fn panic(message: []const u8, _: ?usize) noreturn {
        write(2, message);
        write(2, "\n");
        @trap();
    }
}.panic);
