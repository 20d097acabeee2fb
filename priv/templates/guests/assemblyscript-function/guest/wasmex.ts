// Strings between Elixir, where they are UTF-8, and this guest, where they are UTF-16. Elixir allocates memory for an
// argument with alloc, and frees it with dealloc after the call. A result is valid until the next one is returned.

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
