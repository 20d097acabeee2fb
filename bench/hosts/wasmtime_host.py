"""Python's wasmtime, for bench/peers: see wasmex.exs."""
import os
import tempfile
from importlib.metadata import version

from wasmtime import Engine, ExitTrap, Func, FuncType, Linker, Module, Store, ValType, WasiConfig
from measure import INPUT, ROUNDS, SIZES, each_kib, measure, once, put

engine = Engine()
module = Module.from_file(engine, os.environ["GUEST"])


class Guest:
    def __init__(self):
        self.store = Store(engine)
        linker = Linker(engine)
        ty = FuncType([ValType.i32()], [ValType.i32()])
        linker.define(self.store, "env", "id", Func(self.store, ty, lambda n: n))
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        self.add = self.exports["add"]
        assert self.add(self.store, 40, 2) == 42


guest = Guest()
store, add, imports, echo = guest.store, guest.add, guest.exports["imports"], guest.exports["echo"]
memory = guest.exports["memory"]


def copy(text):
    data = text.encode()
    memory.write(store, data, 0)
    address = echo(store, len(data))
    return bytes(memory.read(store, address, address + len(data))).decode()


def program():
    program = Module.from_file(engine, os.environ["PROGRAM"])
    linker = Linker(engine)
    linker.define_wasi()
    with tempfile.TemporaryDirectory() as folder:
        stdin, stdout = os.path.join(folder, "in"), os.path.join(folder, "out")
        with open(stdin, "w") as file:
            file.write(INPUT)

        def run():
            wasi = WasiConfig()
            wasi.argv = ["program", "upcase"]
            wasi.stdin_file, wasi.stdout_file = stdin, stdout
            store = Store(engine)
            store.set_wasi(wasi)
            try:
                linker.instantiate(store, program).exports(store)["_start"](store)
            except ExitTrap as exit:
                assert exit.code == 0
            del store
            with open(stdout) as file:
                assert file.read() == INPUT.upper()

        return measure(run)


def compute():
    store = Store(engine)
    instance = Linker(engine).instantiate(store, Module.from_file(engine, os.environ["COMPUTE"]))
    return once(lambda: instance.exports(store)["sha256_loop"](store, ROUNDS))


put("version", version("wasmtime"))
put("memory", each_kib(Guest))
put("add", measure(lambda: add(store, 40, 2)))
put("import", measure(lambda: imports(store, 100)) / 100)
for work, size in SIZES.items():
    text = "abcdefgh" * (size // 8)
    assert copy(text) == text
    put(work, measure(lambda: copy(text)))
put("instance", measure(Guest))
put("program", program())
put("compute", compute())
