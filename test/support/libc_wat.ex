defmodule Wasmex.LibcWat do
  @moduledoc "The core module that components written as text get their memory and their `realloc` from."

  @doc "With so many pages. `realloc` takes new memory each time; `reset` takes all of it back."
  def libc(pages) do
    """
    (core module $libc
      (memory (export "memory") #{pages})
      (global $at (mut i32) (i32.const 1024))
      (func (export "reset") (global.set $at (i32.const 1024)))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
        (local.set 4 (i32.and
          (i32.add (global.get $at) (i32.sub (local.get 2) (i32.const 1)))
          (i32.sub (i32.const 0) (local.get 2))))
        (global.set $at (i32.add (local.get 4) (local.get 3)))
        (local.get 4)))
    """
  end
end
