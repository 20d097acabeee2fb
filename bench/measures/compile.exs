defmodule Bench.Compile do
  @moduledoc "Compiling in the VM, in a new helper for each compile, and in a reused one."

  import Bench

  alias Wasmex.{Engine, Module}

  @small ~s|(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))|
  @go "test/guests/go_main/go_main.wasm"

  def run(quick?) do
    {:ok, small} = Wasmex.Wat.to_wasm(@small)
    go = File.read!(@go)
    {many, few} = if quick?, do: {5, 1}, else: {50, 2}

    here = ms(many, small, compile: :in_process)
    isolated = ms(many, small, compile: :isolated)
    again = ms(many, small, compile: :isolated, compile_reuse: __MODULE__)
    large = ms(few, go, compile: :in_process)
    large_isolated = ms(few, go, compile: :isolated)

    [
      row("compile a small module, in the VM", here, "ms"),
      row("the same, isolated: so much more", isolated - here, "ms",
        goal: "10 ms",
        test: {:at_most, 10}
      ),
      row("the same, in a helper that is used again: so much more", again - here, "ms"),
      row("compile a Go program of 2.5 MB, in the VM", large, "ms"),
      row("the same, isolated", large_isolated, "ms")
    ]
  end

  defp ms(n, code, opts), do: per_op(n, &compile(code, opts, &1)) / 1000

  defp compile(_code, _opts, 0), do: :ok

  defp compile(code, opts, n) do
    {:ok, _} = Module.compile(Engine.default(), code, opts)
    compile(code, opts, n - 1)
  end
end
