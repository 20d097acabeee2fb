defmodule Wasmex.EngineConfig do
  use Wasmex.Options, rows: Wasmex.Options.Engine.rows()

  @moduledoc """
  The settings of an engine.

  #{Wasmex.Options.Docs.table(@options)}

  The options from `:wasm_component_model` to `:custom_page_sizes` are WebAssembly proposals.

  ## Example

      iex> %Wasmex.EngineConfig{} |> Wasmex.EngineConfig.consume_fuel(true) |> Map.get(:consume_fuel)
      true
  """

  @type opt_level :: :none | :speed | :speed_and_size

  @doc "Whether guests burn fuel."
  @spec consume_fuel(t(), boolean()) :: t()
  def consume_fuel(%__MODULE__{} = config, value) when is_boolean(value),
    do: %{config | consume_fuel: value}

  @doc "Whether 64-bit memories are allowed."
  @spec memory64(t(), boolean()) :: t()
  def memory64(%__MODULE__{} = config, value) when is_boolean(value),
    do: %{config | memory64: value}

  @doc "Whether backtraces carry files and lines."
  @spec wasm_backtrace_details(t(), boolean()) :: t()
  def wasm_backtrace_details(%__MODULE__{} = config, value) when is_boolean(value),
    do: %{config | wasm_backtrace_details: value}

  @doc "How much the compiler optimizes: `:none`, `:speed` or `:speed_and_size`."
  @spec cranelift_opt_level(t(), opt_level()) :: t()
  def cranelift_opt_level(%__MODULE__{} = config, level)
      when level in [:none, :speed, :speed_and_size],
      do: %{config | cranelift_opt_level: level}
end
