defmodule Wasmex.EngineConfig do
  @moduledoc """
  The settings of an engine.

  | field | default | meaning |
  |---|---|---|
  | `:consume_fuel` | `false` | count and limit the instructions of guests, see `Wasmex.StoreOrCaller.set_fuel/2` |
  | `:cranelift_opt_level` | `:none` | `:speed` or `:speed_and_size` for faster code and slower compiling; `Wasmex.Engine.default/0` uses `:speed` |
  | `:wasm_backtrace_details` | `false` | files and lines in backtraces, from debug information |
  | `:debug_info` | `false` | debug information for native debuggers |
  | `:wasm_component_model` | `true` | components |
  | `:memory64` | `false` | 64-bit memories |
  | `:tail_call`, `:simd`, `:relaxed_simd`, `:multi_memory`, `:multi_value`, `:bulk_memory`, `:reference_types`, `:function_references`, `:gc`, `:exceptions`, `:threads`, `:extended_const` | `true` | the proposals of these names |
  | `:wide_arithmetic`, `:custom_page_sizes` | `false` | likewise |
  | `:nan_canonicalization` | `false` | the same NaN bits on every machine |
  | `:max_wasm_stack` | 512 KiB | bytes of stack for guest code, per call |
  | `:density` | `false` | 100,000 instances at once: no guard pages and no reservations, explicit bounds checks instead |
  | `:pooling` | `nil` | a pool of this many instances, reserved at once; instances start faster |
  | `:pooling_memory_size` | 64 MiB | most bytes of one memory in the pool |
  | `:pooling_keep_resident` | 0 | bytes of each memory in the pool that stay with it between instances: they are cleared, not given back to the system, which is faster and keeps that much memory |
  | `:cache` | `nil` | a directory where wasmtime keeps compiled modules |
  | `:core_dump` | `false` | keep the state of a guest at its trap, see `Wasmex.run/3` |

  ## Example

      iex> %Wasmex.EngineConfig{} |> Wasmex.EngineConfig.consume_fuel(true) |> Map.get(:consume_fuel)
      true
  """

  defstruct consume_fuel: false,
            cranelift_opt_level: :none,
            wasm_backtrace_details: false,
            memory64: false,
            wasm_component_model: true,
            debug_info: false,
            tail_call: true,
            simd: true,
            relaxed_simd: true,
            multi_memory: true,
            multi_value: true,
            bulk_memory: true,
            reference_types: true,
            function_references: true,
            gc: true,
            exceptions: true,
            threads: true,
            extended_const: true,
            wide_arithmetic: false,
            custom_page_sizes: false,
            nan_canonicalization: false,
            max_wasm_stack: 512 * 1024,
            density: false,
            pooling: nil,
            pooling_memory_size: 64 * 1024 * 1024,
            pooling_keep_resident: 0,
            cache: nil,
            core_dump: false

  @type opt_level :: :none | :speed | :speed_and_size
  @type t :: %__MODULE__{}

  @levels [:none, :speed, :speed_and_size]

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
  def cranelift_opt_level(%__MODULE__{} = config, level) when level in @levels,
    do: %{config | cranelift_opt_level: level}

  @doc false
  def validate!(%__MODULE__{} = config) do
    for {key, value} <- Map.from_struct(config), not valid?(key, value) do
      raise ArgumentError,
            "invalid value for #{inspect(key)} in %Wasmex.EngineConfig{}: expected #{expected(key)}, got: #{inspect(value)}"
    end

    config
  end

  def validate!(other),
    do: raise(ArgumentError, "expected %Wasmex.EngineConfig{}, got: #{inspect(other)}")

  defp valid?(:cranelift_opt_level, value), do: value in @levels
  defp valid?(:max_wasm_stack, value), do: is_integer(value) and value in 0x4000..0x400_0000
  defp valid?(:pooling, value), do: value == nil or (is_integer(value) and value in 1..1_000_000)

  defp valid?(:pooling_memory_size, value),
    do: is_integer(value) and value in 0..0x1_0000_0000

  defp valid?(:pooling_keep_resident, value),
    do: is_integer(value) and value in 0..0x1_0000_0000

  defp valid?(:cache, value), do: value == nil or (is_binary(value) and String.valid?(value))
  defp valid?(_flag, value), do: is_boolean(value)

  defp expected(:cranelift_opt_level), do: "one of #{inspect(@levels)}"
  defp expected(:max_wasm_stack), do: "bytes between 16 KiB and 64 MiB"
  defp expected(:pooling), do: "nil or a number of instances between 1 and 1000000"
  defp expected(:pooling_memory_size), do: "bytes, at most 4 GiB"
  defp expected(:pooling_keep_resident), do: "bytes, at most 4 GiB"
  defp expected(:cache), do: "nil or the path of a directory"
  defp expected(_flag), do: "a boolean"
end
