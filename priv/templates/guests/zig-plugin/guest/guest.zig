//! A plug-in with the ABI of Extism.
const plugin = @import("plugin.zig");

export fn greet() i32 {
    const name = plugin.input();
    return plugin.output(&.{ "Hello, ", name, "!" });
}
