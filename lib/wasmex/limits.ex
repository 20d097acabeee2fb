defmodule Wasmex.Limits do
  use Wasmex.Options, rows: Wasmex.Options.Limits.rows()

  @moduledoc """
  Limits for wasm, WAT and WIT before they are compiled.

  A few hundred bytes can make a compiler allocate gigabytes of memory or overflow its stack. So all input is scanned
  first, in one pass that takes about a hundredth of the compile time. Go, Python, JavaScript and large Rust programs stay
  far below the defaults.

  #{Wasmex.Options.Docs.table(@options)}

  Counts apply to a whole file, including all modules of a component.

  The option `:limits` of `Wasmex.EngineConfig` sets the limits for everything compiled for an engine, as text too. `Wasmex.WIT.world/2`,
  `Wasmex.Wat.to_wasm/2` and `Wasmex.Inspection.read/2` have the same option; other functions without an engine use the defaults.
  Without it, `Wasmex.Inspection` has other limits and also reads files that exceed these.

  ## Errors

  `%Wasmex.Error{reason: :too_large}` or `:nested_too_deep`, with the `:limit`, the `:value` found, the maximum as
  `:most`, and the `:offset` in bytes where it was exceeded.

  ## Example

      iex> limits = %Wasmex.Limits{functions: 1}
      iex> {:ok, engine} = Wasmex.Engine.new(%Wasmex.EngineConfig{limits: limits})
      iex> Wasmex.Module.compile(engine, "(module (func) (func))")
      {:error, "the bytes have more than 1 functions (2 at offset 0x11); for trusted bytes, raise `functions` in the `limits:` of %Wasmex.EngineConfig{}"}
  """

  @doc false
  # As the native side takes it.
  @spec native(t()) :: map()
  def native(%__MODULE__{} = limits), do: Wasmex.Options.native!(limits, __options__())
end
