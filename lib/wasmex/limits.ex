defmodule Wasmex.Limits do
  use Wasmex.Options, rows: Wasmex.Options.Limits.rows()

  @moduledoc """
  What wasm, WAT and WIT may ask of whoever reads and compiles them.

  A few hundred bytes can ask a compiler for gigabytes of memory, or for a stack that no thread has. So everything is
  measured before it is read: in one pass, which takes about a hundredth of the time that compiling takes. Go, Python, JavaScript and
  large Rust programs stay far below the defaults.

  #{Wasmex.Options.Docs.table(@options)}

  Counts are of a whole file, the modules of a component taken together.

  An engine has its limits in the option `:limits` of `Wasmex.EngineConfig`. They hold for all that is compiled for it.
  Where no engine is involved, as in `Wasmex.WIT.world/2`, the defaults hold. `Wasmex.Inspection` reads modules and
  components that are refused here; it has limits of its own.

  ## Errors

  `%Wasmex.Error{reason: :too_large}` or `:nested_too_deep`, with the `:limit`, the `:value` that was found, the `:most`
  that may be, and the `:offset` in bytes where it was passed.

  ## Example

      iex> limits = %Wasmex.Limits{functions: 1}
      iex> {:ok, engine} = Wasmex.Engine.new(%Wasmex.EngineConfig{limits: limits})
      iex> Wasmex.Module.compile(engine, "(module (func) (func))")
      {:error, "the bytes have more than 1 functions (2 at offset 0x11); if you trust them, raise `functions` in the `limits:` of %Wasmex.EngineConfig{}"}
  """
end
