defmodule Wasmex.Answers do
  @moduledoc "Functions for tests of HTTP, written by hand."

  @doc "Prints this text and ends with this status."
  def prints(text, status \\ 0) do
    bytes = for <<byte <- text>>, into: "", do: "\\" <> Base.encode16(<<byte>>)

    """
    (module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 4)
      (data (i32.const 64) "#{bytes}")
      (func (export "_start")
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const #{byte_size(text)}))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
        (call $exit (i32.const #{status}))))
    """
  end

  def spins, do: ~s|(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))|
  def traps, do: ~s|(module (memory (export "memory") 1) (func (export "_start") unreachable))|

  @doc "Prints a line for ever, or `count` times; then traps if `trap?`."
  def floods(count \\ -1, trap? \\ false) do
    """
    (module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 64) "0123456789abcdef")
      (func (export "_start") (local $n i32)
        (local.set $n (i32.const #{count}))
        (i32.store (i32.const 0) (i32.const 64))
        (loop $again
          (i32.store (i32.const 4) (i32.const 16))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        #{if trap?, do: "unreachable"}))
    """
  end

  @doc "Counts its calls in a global, and in its memory: always 1 where instances are fresh."
  def counts do
    """
    (module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (global $calls (mut i32) (i32.const 48))
      (func (export "_start")
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store (i32.const 128) (i32.add (i32.load (i32.const 128)) (i32.const 1)))
        (i32.store8 (i32.const 64) (global.get $calls))
        (i32.store8 (i32.const 65) (i32.add (i32.load (i32.const 128)) (i32.const 48)))
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 2))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))
    """
  end
end
