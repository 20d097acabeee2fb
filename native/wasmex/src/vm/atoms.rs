//! The atoms used by the library. None is ever made from a guest's data.

use rustler::{Atom, Env};

/// The atom for a name written in this crate, which `'static` ensures: text from a guest or a caller has a shorter
/// lifetime. Other files get their atoms here.
pub fn from_static(env: Env, name: &'static str) -> Option<Atom> {
    Atom::from_str(env, name).ok()
}

rustler::atoms! {
    ok, error, nil, true_ = "true", false_ = "false", yield_ = "yield", wait, import, busy,
    wasmex_wake, wasmex_turn, wasmex_pipe, wasmex_fetched,
    nif_panicked,
    struct_ = "__struct__", exception_ = "__exception__", argument_error = "Elixir.ArgumentError", wasmex_func = "Elixir.Wasmex.Func",
    wasmex_reference = "Elixir.Wasmex.Reference",
    // values
    nan, infinity, neg_infinity, i31,
    // kinds of native objects
    engine, module, store, instance, template, execution, memory, table, global, func, reference,
    pipe, term,
    // types
    i32, i64, f32, f64, v128, fn_ = "fn", tag, mutability, const_ = "const", var, type_ = "type",
    minimum, maximum, shared, memory64,
    // definitions of imports
    extern_ = "extern",
    // errors
    trap, exit, import_raised, cancelled, closed, broken, deadlock, arity, unknown_export,
    not_a_function, missing_import, incompatible_import, duplicate_import, compile, parse,
    limit, nested_too_deep, most, guest, foreign_store, foreign_node, foreign_engine, caller_expired, caller_elsewhere, out_of_bounds,
    grow, immutable, fuel_disabled, unsupported, artefact, no_ticker, no_threads, mapping_limit, call_depth, config, wasi, value,
    bad_results, component, no_room, eof, empty, full,
    // details of errors
    code, message, detail, backtrace, position, wanted, got, expected, name, names, kind,
    namespace, types_ = "types", path, offset, size, linked,
    module_name, func_name, func_index, func_offset, module_offset, symbols, file, line, column,
    // kinds of terms
    kind_atom = "Atom", kind_binary = "Binary", kind_fun = "Fun", kind_list = "List",
    kind_map = "Map", kind_pid = "Pid", kind_port = "Port", kind_ref = "Ref", kind_tuple = "Tuple",
    kind_integer = "Integer", kind_float = "Float", kind_unknown = "Unknown",
    // traps
    stack_overflow, memory_out_of_bounds, heap_misaligned, table_out_of_bounds,
    indirect_call_to_null, bad_signature, integer_overflow, integer_division_by_zero,
    bad_conversion_to_integer, unreachable, interrupt, out_of_fuel, atomic_wait_non_shared_memory,
    null_reference, array_out_of_bounds, allocation_too_large, cast_failure, unhandled_tag,
    uncaught_exception, other,
    // options
    observed, unobserved, traced, bits, stdout, stderr, wasmex_interrupt, output_limit, bytes, unfinished, trace, profile,
    none, speed, speed_and_size, inherit, null, buffer, stream,
    exports, imports, resource,
    // components
    wasmex_guest_resource = "Elixir.Wasmex.Components.GuestResource",
    component_instance, handle, conversion, spent, unknown_path, missing_imports, bad_value,
    range, fields, missing, unknown, case_ = "case", payload, length, utf8, problem, param, result,
    field, item, element, key, some,
    bool_ = "bool", s8, u8_ = "u8", s16, u16_ = "u16", s32, u32_ = "u32", s64, u64_ = "u64",
    char_ = "char", string, list, map, record, tuple, variant, enum_ = "enum", option, flags, own,
    borrow,
    // WASI 0.2
    expensive, any, ip, glob, http, exchange, connection, denied, timeout, refused, dns, too_large, large,
    // sockets
    auto, v1, v2, tcp, udp, tls, unix, bind, listen, socket,
    wasmex_dial, wasmex_dial_over, answer,
    eagain, epipe, emfile, enfile, eopnotsupp, einval,
    // WIT
    wit, docs, interface, functions, method, static_ = "static", constructor, async_ = "async",
    params, named, alias,
    // text of values
    wave,
    // inspection
    tables, memories, globals, start, producers, inner_producers, sections, count,
    // HTTP
    input, output,
    // plug-ins
    oom, pages, heap, failed, signature,
    // processes of the operating system
    child, wasmex_compiled,
}
