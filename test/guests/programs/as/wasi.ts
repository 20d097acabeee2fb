// The part of WASI preview 1 that the program needs.

@external("wasi_snapshot_preview1", "args_sizes_get")
declare function args_sizes_get(count: usize, size: usize): i32;
@external("wasi_snapshot_preview1", "args_get")
declare function args_get(list: usize, bytes: usize): i32;
@external("wasi_snapshot_preview1", "environ_sizes_get")
declare function environ_sizes_get(count: usize, size: usize): i32;
@external("wasi_snapshot_preview1", "environ_get")
declare function environ_get(list: usize, bytes: usize): i32;
@external("wasi_snapshot_preview1", "fd_read")
declare function fd_read(fd: i32, iovs: usize, count: i32, done: usize): i32;
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, iovs: usize, count: i32, done: usize): i32;
@external("wasi_snapshot_preview1", "poll_oneoff")
declare function poll_oneoff(subscriptions: usize, events: usize, count: i32, done: usize): i32;
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(status: i32): void;

const scratch = memory.data(64);

// Pointers to texts that end with a zero.
function texts(list: usize, count: i32): string[] {
  const found = new Array<string>();
  for (let i = 0; i < count; i++) {
    const start = load<usize>(list + 4 * i);
    let end = start;
    while (load<u8>(end) != 0) end++;
    found.push(String.UTF8.decodeUnsafe(start, end - start));
  }
  return found;
}

export function args(): string[] {
  args_sizes_get(scratch, scratch + 4);
  const count = load<i32>(scratch);
  const list = heap.alloc(4 * count + 4);
  args_get(list, heap.alloc(load<i32>(scratch + 4) + 1));
  return texts(list, count);
}

export function environ(): string[] {
  environ_sizes_get(scratch, scratch + 4);
  const count = load<i32>(scratch);
  const list = heap.alloc(4 * count + 4);
  environ_get(list, heap.alloc(load<i32>(scratch + 4) + 1));
  return texts(list, count);
}

export function read(most: i32): Uint8Array {
  const buffer = new Uint8Array(most);
  store<usize>(scratch, buffer.dataStart);
  store<i32>(scratch + 4, most);
  if (fd_read(0, scratch, 1, scratch + 8) != 0) return new Uint8Array(0);
  return buffer.subarray(0, load<i32>(scratch + 8));
}

export function write(fd: i32, bytes: Uint8Array): void {
  let start = bytes.dataStart, left = bytes.length;
  while (left > 0) {
    store<usize>(scratch, start);
    store<i32>(scratch + 4, left);
    if (fd_write(fd, scratch, 1, scratch + 8) != 0) proc_exit(1);
    const done = load<i32>(scratch + 8);
    start += done;
    left -= done;
  }
}

export function print(line: string): void {
  write(1, Uint8Array.wrap(String.UTF8.encode(line + "\n")));
}

export function printError(line: string): void {
  write(2, Uint8Array.wrap(String.UTF8.encode(line + "\n")));
}

export function exit(status: i32): void {
  proc_exit(status);
}

// One subscription to the monotonic clock, relative to now.
export function sleep(ms: u64): void {
  const subscription = heap.alloc(48);
  memory.fill(subscription, 0, 48);
  store<u32>(subscription + 16, 1);
  store<u64>(subscription + 24, ms * 1_000_000);
  poll_oneoff(subscription, heap.alloc(32), 1, scratch);
}

// What AssemblyScript calls when a program throws.
export function abort(message: string | null, _file: string | null, line: u32, _column: u32): void {
  printError(message! + " at line " + line.toString());
  unreachable();
}
