// An AssemblyScript module; `throw` calls the import `env.abort`.

@external("env", "log")
declare function log(ptr: usize, len: i32): void;

export function add(a: i32, b: i32): i32 {
  return a + b;
}

// Takes a name as UTF-8 and hands `Hello, <name>!` as UTF-8 to `env.log`.
export function greet(ptr: usize, len: i32): void {
  const name = String.UTF8.decodeUnsafe(ptr, len);
  const text = String.UTF8.encode("Hello, " + name + "!");
  log(changetype<usize>(text), text.byteLength);
}

export function divide(a: i32, b: i32): i32 {
  if (b == 0) throw new Error("division by zero");
  return a / b;
}

// For the host: memory to put arguments into.
export function allocate(size: i32): usize {
  return heap.alloc(size);
}

export function deallocate(ptr: usize): void {
  heap.free(ptr);
}
