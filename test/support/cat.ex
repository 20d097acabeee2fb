defmodule Wasmex.Cat do
  @moduledoc "A program that copies its input to its output, small enough to be written by hand."

  @doc "As WAT; it reads 64 KiB at a time."
  def wat do
    ~S"""
    (module
      (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 2)
      (func (export "_start")
        (loop $again
          (i32.store (i32.const 0) (i32.const 64))
          (i32.store (i32.const 4) (i32.const 65536))
          (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
          (if (i32.load (i32.const 4))
            (then
              (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
              (br $again))))))
    """
  end

  @doc "Ready to be instantiated; compiled once for all tests."
  def template do
    with nil <- :persistent_term.get(__MODULE__, nil) do
      {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), wat())
      linker = Wasmex.Linker.new() |> Wasmex.Linker.allow_wasi()
      {:ok, template} = Wasmex.Linker.instantiate_pre(linker, module)
      tap(template, &:persistent_term.put(__MODULE__, &1))
    end
  end
end
