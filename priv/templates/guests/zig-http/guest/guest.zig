//! An HTTP function: the request is in environment variables (http_path, http_query, …) and its body on standard input. The
//! output is the response.
const wasi = @import("wasi.zig");

pub fn main() void {
    wasi.print("Hello, ");
    wasi.print(wasi.variable("http_query") orelse "");
    wasi.print("!\n");
}
