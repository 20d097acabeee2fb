"""PyPI's extism, for bench/peers: plug-ins of its own ABI, which take and return bytes only."""
import os
from importlib.metadata import version

import extism
from extism.extism import CompiledPlugin
from measure import SIZES, each_kib, measure, put


@extism.host_fn(name="id", namespace="extism:host/user", signature=([extism.ValType.I64], [extism.ValType.I64]))
def identity(plugin, inputs, outputs, *_):
    outputs[0].value = inputs[0].value


def compiled(path, functions=None):
    return CompiledPlugin({"wasm": [{"path": path}]}, functions=functions)


def raw(out):
    return bytes(out)


echo = compiled(os.environ["ECHO"])
plugin = extism.Plugin(echo)


def start():
    fresh = extism.Plugin(echo)
    fresh.call("silent", b"", raw)
    return fresh


put("version", version("extism"))
put("memory", each_kib(start))
put("add", measure(lambda: plugin.call("silent", b"", raw)))
loop = extism.Plugin(compiled(os.environ["PLUGIN"], [identity]))
put("import", measure(lambda: loop.call("imports", b"", raw)) / 1000)
for work, size in SIZES.items():
    text = "abcdefgh" * (size // 8)
    assert plugin.call("echo", text, lambda out: bytes(out).decode()) == text
    put(work, measure(lambda: plugin.call("echo", text, lambda out: bytes(out).decode())))
put("instance", measure(start))
