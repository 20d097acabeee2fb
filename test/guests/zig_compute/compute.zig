//! Compute-bound exports for the bench; no imports.

const std = @import("std");
const Sha256 = std.crypto.hash.sha2.Sha256;

/// Hashes 32 zero bytes, then the digest, `iterations` times in all. The
/// result is the low 32 bits of the last digest (its last four bytes, big endian).
export fn sha256_loop(iterations: i32) i32 {
    var digest: [32]u8 = @splat(0);
    var i: i32 = 0;
    while (i < iterations) : (i += 1) {
        const input = digest;
        Sha256.hash(&input, &digest, .{});
    }
    return std.mem.readInt(i32, digest[28..32], .big);
}

/// The naive recursion: fib(30) = 832040.
export fn fib(n: i32) i32 {
    if (n < 2) return n;
    return fib(n - 1) +% fib(n - 2);
}

/// C = A * B for n x n matrices with A[i][j] = i + j + 1, B[i][j] = i - j; the result is
/// the sum of all C[i][j]. -1 when there is no memory for the three matrices.
export fn matmul(n: u32) f64 {
    const size = @as(usize, n) * n;
    const gpa = std.heap.wasm_allocator;
    const cells = gpa.alloc(f64, 3 * size) catch return -1;
    defer gpa.free(cells);
    const a = cells[0..size];
    const b = cells[size..][0..size];
    const c = cells[2 * size ..][0..size];

    for (0..n) |i| for (0..n) |j| {
        const x: f64 = @floatFromInt(i);
        const y: f64 = @floatFromInt(j);
        a[i * n + j] = x + y + 1;
        b[i * n + j] = x - y;
        c[i * n + j] = 0;
    };
    for (0..n) |i| for (0..n) |k| {
        const factor = a[i * n + k];
        for (c[i * n ..][0..n], b[k * n ..][0..n]) |*cell, value| cell.* += factor * value;
    };

    var sum: f64 = 0;
    for (c) |cell| sum += cell;
    return sum;
}

/// Never returns.
export fn spin() void {
    while (true) asm volatile ("");
}
