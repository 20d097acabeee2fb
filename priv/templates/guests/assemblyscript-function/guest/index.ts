// Functions for Elixir: see lib/@name@.ex.
import { text, returned } from "./wasmex";
export { alloc, dealloc } from "./wasmex";

// Takes a string and returns one.
export function greet(pointer: usize, length: i32): u64 {
  return returned("Hello, " + text(pointer, length) + "!");
}

export function add(a: i32, b: i32): i32 {
  return a + b;
}
