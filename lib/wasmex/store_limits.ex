defmodule Wasmex.StoreLimits do
  @moduledoc """
  What the guests of one store may use at most. `nil` is unlimited, except that a store holds at most
  10,000 instances, tables and memories each.

  - `:memory_size`: bytes, of each memory and of all memories of the store together; and as many of all
    tables together, 8 for an element (1 MiB of them in any case)
  - `:table_elements`: elements of each table
  - `:instances`, `:tables`, `:memories`: how many of them
  - `:hostcall_fuel`: what one call may hand over from a component, 128 MiB by default: a byte of a string or of a
    `list<u8>` costs 1, of other terms 4 (a list of integers 64 for each, of floats 128), for they are made in one go

  A guest that wants more at its start can't be instantiated; one that grows later sees its
  `memory.grow` fail with -1 (core specification, section 4.4.7).

  ## Example

      iex> {:ok, store} = Wasmex.Store.new(%Wasmex.StoreLimits{memory_size: 65_536})
      iex> {:ok, module} = Wasmex.Module.compile(store, "(module (memory 2))")
      iex> Wasmex.Instance.new(store, module, %{})
      {:error, "memory minimum size of 2 pages exceeds memory limits"}
  """

  defstruct memory_size: nil,
            table_elements: nil,
            instances: nil,
            tables: nil,
            memories: nil,
            hostcall_fuel: nil

  @type limit :: non_neg_integer() | nil
  @type t :: %__MODULE__{
          memory_size: limit(),
          table_elements: limit(),
          instances: limit(),
          tables: limit(),
          memories: limit(),
          hostcall_fuel: limit()
        }

  @unlimited %{
    __struct__: __MODULE__,
    memory_size: nil,
    table_elements: nil,
    instances: nil,
    tables: nil,
    memories: nil,
    hostcall_fuel: nil
  }

  @doc false
  def validate!(limits) when limits == @unlimited, do: limits

  def validate!(%__MODULE__{} = limits) do
    for {key, value} <- Map.from_struct(limits),
        value != nil and not (is_integer(value) and value >= 0 and value < 0x8000_0000_0000_0000) do
      raise ArgumentError,
            "invalid value for #{inspect(key)} in %Wasmex.StoreLimits{}: expected a non-negative integer or nil, got: #{inspect(value)}"
    end

    limits
  end

  def validate!(other),
    do: raise(ArgumentError, "expected %Wasmex.StoreLimits{} or nil, got: #{inspect(other)}")
end
