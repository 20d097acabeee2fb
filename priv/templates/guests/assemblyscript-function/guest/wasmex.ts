// How strings and bytes cross. Strings are UTF-16 here and UTF-8 in Elixir. Elixir asks alloc for memory, writes the bytes
// there, and gives back what it got. What a function returns stays until the next one returns something.

let last: ArrayBuffer = new ArrayBuffer(0);

export function alloc(size: i32): usize {
  return heap.alloc(size);
}

export function dealloc(pointer: usize): void {
  heap.free(pointer);
}

// An argument: {:string, _} or {:json, _} in Elixir.
export function text(pointer: usize, length: i32): string {
  return String.UTF8.decodeUnsafe(pointer, length);
}

// A result, for returns: :string or :json.
export function returned(result: string): u64 {
  last = String.UTF8.encode(result);
  return ((<u64>changetype<usize>(last)) << 32) | <u64>last.byteLength;
}
