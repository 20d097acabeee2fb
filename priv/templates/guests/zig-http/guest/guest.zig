//! A function over HTTP: the request is in environment variables (http_path, http_query, …), the body is standard input, and
//! what is printed is the answer.
const wasi = @import("wasi.zig");

pub fn main() void {
    wasi.print("Hello, ");
    wasi.print(wasi.variable("http_query") orelse "");
    wasi.print("!\n");
}
