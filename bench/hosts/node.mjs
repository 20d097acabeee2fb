// Node's WebAssembly and node:wasi, for bench/peers: see wasmex.exs.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WASI } from "node:wasi";

const quick = process.env.QUICK;
const rounds = quick ? 100_000 : 5_000_000;
const instances = 1_000;
const put = (work, figure) => console.log(`${work}\t${figure}`);
const check = (ok) => { if (!ok) throw new Error("a wrong result"); };
const load = (name) => new WebAssembly.Module(readFileSync(process.env[name]));

function measure(run) {
  const budget = quick ? 20 : 300;
  run();
  for (let count = 1; ; count *= 2) {
    const start = performance.now();
    for (let i = 0; i < count; i++) run();
    const ms = performance.now() - start;
    if (ms >= budget) return (ms / count) * 1e3;
  }
}

const module = load("GUEST");
const imports = { env: { id: (n) => n } };

function start() {
  const { exports } = new WebAssembly.Instance(module, imports);
  check(exports.add(40, 2) === 42);
  return exports;
}

const guest = start();
const encoder = new TextEncoder();
const decoder = new TextDecoder();

function copy(text) {
  const { written } = encoder.encodeInto(text, new Uint8Array(guest.memory.buffer));
  const address = guest.echo(written);
  return decoder.decode(new Uint8Array(guest.memory.buffer, address, written));
}

// WASI's standard streams are descriptors here, so the text is in files.
function program() {
  const program = load("PROGRAM");
  const folder = mkdtempSync(join(tmpdir(), "wasmex-peers-"));
  const [from, to] = [join(folder, "in"), join(folder, "out")];
  const text = "abcdefgh".repeat(128);
  writeFileSync(from, text);
  const us = measure(() => {
    const [stdin, stdout] = [openSync(from, "r"), openSync(to, "w+")];
    const wasi = new WASI({ version: "preview1", args: ["program", "upcase"], stdin, stdout, returnOnExit: true });
    check(wasi.start(new WebAssembly.Instance(program, wasi.getImportObject())) === 0);
    check(readFileSync(to, "utf8") === text.toUpperCase());
    closeSync(stdin);
    closeSync(stdout);
  });
  rmSync(folder, { recursive: true });
  return us;
}

function resident() {
  globalThis.gc();
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))[1]);
}

function memory() {
  const before = resident();
  const kept = Array.from({ length: instances }, start);
  const used = resident() - before;
  return used / kept.length;
}

put("version", process.version.slice(1));
put("memory", memory());
put("add", measure(() => guest.add(40, 2)));
put("import", measure(() => guest.imports(1000)) / 1000);
for (const [work, size] of [["text_1k", 1024], ["text_1m", 1024 * 1024]]) {
  const text = "abcdefgh".repeat(size / 8);
  check(copy(text) === text);
  put(work, measure(() => copy(text)));
}
put("instance", measure(start));
put("program", program());
const { sha256_loop } = new WebAssembly.Instance(load("COMPUTE")).exports;
// V8 replaces the code of its fast compiler between calls only.
for (let i = 0; i < 100; i++) sha256_loop(1000);
await new Promise((resolve) => setTimeout(resolve, 200));
const begun = performance.now();
sha256_loop(rounds);
put("compute", performance.now() - begun);
