// A program with one subcommand for each thing that a test wants of it: see ../README.md.
// Straight on WASI: the functions it needs are declared in wasi.ts.
import { args, environ, print, printError, read, write, exit, sleep } from "./wasi";

const argv = args();
const command = argv.length > 1 ? argv[1] : "hello";
const arg = argv.length > 2 ? argv[2] : "";

if (command == "hello") {
  print("Hello, " + (arg.length ? arg : "world") + ", from AssemblyScript!");
  const variables = environ();
  variables.sort();
  for (let i = 0; i < variables.length; i++) print(variables[i]);
} else if (command == "upcase") {
  for (;;) {
    const chunk = read(65536);
    if (chunk.length == 0) break;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (byte >= 97 && byte <= 122) chunk[i] = byte - 32;
    }
    write(1, chunk);
  }
} else if (command == "wc") {
  let lines: u64 = 0, words: u64 = 0, bytes: u64 = 0, inWord = false;
  for (;;) {
    const chunk = read(65536);
    if (chunk.length == 0) break;
    bytes += chunk.length;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (byte == 10) lines++;
      const space = byte == 32 || byte == 10 || byte == 9 || byte == 13;
      if (!space && !inWord) words++;
      inWord = !space;
    }
  }
  print(lines.toString() + " " + words.toString() + " " + bytes.toString());
} else if (command == "sleep") {
  sleep(u64(parseInt(arg)));
} else if (command == "spin") {
  while (true) {}
} else if (command == "eat") {
  const kept = new Array<Uint8Array>();
  while (true) kept.push(new Uint8Array(1 << 20).fill(1));
} else if (command == "flood") {
  while (true) print("a line of a flood");
} else if (command == "exit") {
  exit(i32(parseInt(arg)));
} else if (command == "panic") {
  throw new Error("the guest panics");
} else if (command == "stderr") {
  printError(arg);
} else {
  printError("unknown command " + command);
  exit(1);
}
