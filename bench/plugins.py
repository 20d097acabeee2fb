"""Prints `name, extism, µs` (or KiB) for each measurement of bench/plugins.exs on the reference host, PyPI's extism."""
import os
import time

import extism
from extism.extism import CompiledPlugin

ROUNDS = 3 if os.environ.get("QUICK") else 15


def best(count, fun):
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(count):
            fun()
        times.append((time.perf_counter() - start) / count)
    return min(times) * 1e6


def put(name, us):
    print(f"{name}\textism\t{us:.3f}", flush=True)


def call(name, count, plugin, function, data):
    put(name, best(count, lambda: plugin.call(function, data, lambda out: bytes(out))))


@extism.host_fn(name="kv_read", namespace="extism:host/user")
def kv_read(key: str) -> str:
    return "v"


def compiled(path, functions=None):
    return CompiledPlugin({"wasm": [{"path": path}]}, functions=functions)


def new(path, functions=None):
    return extism.Plugin({"wasm": [{"path": path}]}, functions=functions)


ECHO, VOWELS = "test/guests/plugins/echo.wasm", "examples/plugins/rust/vowels.wasm"
K, M = b"abcdefgh" * 128, b"abcdefgh" * 131072


def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def called():
    fresh = extism.Plugin(source)
    fresh.call("echo", b"x", lambda out: bytes(out))
    return fresh


source = compiled(ECHO)
before = resident()
plugins = [called() for _ in range(1_000)]
put("KiB of an instance, of 1,000", max(resident() - before, 1) / len(plugins))
del plugins

plugin = new(ECHO)
call("empty call", 10000, plugin, "silent", b"")
call("echo 16 B", 10000, plugin, "echo", K[:16])
call("echo 1 KiB", 10000, plugin, "echo", K)
call("echo 1 MiB", 100, plugin, "echo", M)
plugin = new(VOWELS, [kv_read])
call("count_vowels 1 KiB", 1000, plugin, "count_vowels", K)
call("count_vowels 1 MiB", 5, plugin, "count_vowels", M)
call("host function", 5000, plugin, "lookup", b"key")
plugin = new("test/guests/plugins/c-kit.wasm")
call("shout bytewise 1 KiB", 1000, plugin, "shout", K)
call("shout bytewise 1 MiB", 5, plugin, "shout", M)
call("var_get of a missing key", 10000, new("test/guests/plugins/vars.wasm"), "get", b"")

for name, path, functions, function in [("echo", ECHO, None, "silent"), ("vowels", VOWELS, [kv_read], "count_vowels")]:
    source = compiled(path, functions)

    def fresh():
        return extism.Plugin(source)

    put(f"new {name}", best(200, fresh))
    put(f"new, first call {name}", best(200, lambda: fresh().call(function, b"x", lambda out: bytes(out))))
