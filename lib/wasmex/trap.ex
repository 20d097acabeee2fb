defmodule Wasmex.Trap do
  @moduledoc """
  The guest trapped: it broke a WebAssembly rule or exhausted a resource.

  `code` is the kind of trap (core specification, section 4.4, and wasmtime's own traps):
  `:unreachable`, `:stack_overflow`, `:memory_out_of_bounds`, `:table_out_of_bounds`,
  `:indirect_call_to_null`, `:bad_signature`, `:integer_overflow`, `:integer_division_by_zero`,
  `:bad_conversion_to_integer`, `:out_of_fuel`, `:null_reference`, `:cast_failure`,
  `:array_out_of_bounds`, `:allocation_too_large`, `:uncaught_exception`, …

  `backtrace` is a list of frames, innermost first, each a map with `:module_name`, `:func_name`,
  `:func_index`, `:func_offset`, `:module_offset` and `:symbols` (a list of `:name`, `:file`, `:line`,
  `:column`; filled if the module has debug information and the engine was created with
  `wasm_backtrace_details: true`). `detail` is wasmtime's text, including the backtrace.

  `run` is set for traps of `Wasmex.run/3`: the output and measurements up to the trap.

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (func (export "f") unreachable))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> {:error, trap} = Wasmex.Instance.call(instance, "f", [])
      iex> {trap.code, Exception.message(trap)}
      {:unreachable, "wasm trap: wasm `unreachable` instruction executed"}
  """

  defexception [:code, :message, :detail, backtrace: [], run: nil]

  @type t :: %__MODULE__{
          code: atom(),
          message: String.t(),
          detail: String.t(),
          backtrace: [map()],
          run: Wasmex.Run.t() | nil
        }

  @impl true
  def message(%__MODULE__{message: message}), do: message
end
