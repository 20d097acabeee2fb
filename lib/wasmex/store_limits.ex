defmodule Wasmex.StoreLimits do
  use Wasmex.Options, rows: Wasmex.Options.Store.rows()

  @moduledoc """
  Limits for the guests of one store. `nil` means the default.

  #{Wasmex.Options.Docs.table(@options)}

  A guest that exceeds a limit at its start cannot be instantiated; if it grows later, its `memory.grow` returns -1
  (core specification, section 4.4.7).

  ## Example

      iex> {:ok, store} = Wasmex.Store.new(%Wasmex.StoreLimits{memory_size: 65_536})
      iex> {:ok, module} = Wasmex.Module.compile(store, "(module (memory 2))")
      iex> Wasmex.Instance.new(store, module, %{})
      {:error, "memory minimum size of 2 pages exceeds memory limits"}
  """

  @type limit :: non_neg_integer() | nil

  # More than any memory has.
  @unlimited 0xFFFF_FFFF_FFFF_FFFF

  @doc false
  # Of a plug-in, by its option `max_memory`.
  @spec of_memory(non_neg_integer() | :infinity) :: t()
  def of_memory(:infinity), do: %__MODULE__{memory_size: @unlimited}
  def of_memory(bytes), do: %__MODULE__{memory_size: bytes}
end
