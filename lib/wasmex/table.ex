defmodule Wasmex.Table do
  @moduledoc """
  A guest's table of references (core specification, section 2.5.7): functions or Elixir terms.

  Elements are converted like arguments of a call: `%Wasmex.Func{}` or `nil` for funcref, any term for
  externref.

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (table (export "t") 2 externref))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> {:ok, table} = Wasmex.Instance.export(instance, :table, "t")
      iex> Wasmex.Table.set(table, 1, {:any, "term"})
      :ok
      iex> Wasmex.Table.get(table, 1)
      {:ok, {:any, "term"}}
      iex> Wasmex.Table.grow(table, 3, nil)
      {:ok, 2}
      iex> Wasmex.Table.size(table)
      {:ok, 5}
  """

  alias Wasmex.{Native, Options, StoreOrCaller}
  alias Wasmex.Call.Access

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}

  @references [:funcref, :externref, :anyref, :eqref, :i31ref, :structref, :arrayref, :exnref]
  @options Options.table(
             [
               maximum: [
                 type: {:or, [nil], {:integer, 0..0xFFFF_FFFF}},
                 default_doc: "none",
                 doc: "the maximum number of elements"
               ],
               init: [type: :any, doc: "the initial value of each element"]
             ],
             "Wasmex.Table.new/4"
           )

  @doc """
  Creates a table with this number of elements of a reference type. Modules of the store can import it:

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, table} = Wasmex.Table.new(store, :externref, 3, init: "term")
      iex> Wasmex.Table.get(table, 2)
      {:ok, "term"}

  #{Options.Docs.table(@options)}

  Types: #{Enum.map_join(@references, ", ", &"`#{inspect(&1)}`")}.
  """
  @spec new(StoreOrCaller.t(), atom(), non_neg_integer(), keyword()) ::
          {:ok, t()} | {:error, Exception.t()}
  def new(store_or_caller, type, size, opts \\ []) do
    {store, via} = StoreOrCaller.split(store_or_caller)
    place = "Wasmex.Table.new/4"
    type = Options.argument!(type, :type, {:one_of, @references}, place)
    size = Options.argument!(size, :size, {:integer, 0..0xFFFF_FFFF}, place)
    %{maximum: maximum, init: init} = Options.new!(opts, @options)
    make = fn -> Native.table_new(store, {type, init}, {size, maximum}, via) end

    with {:ok, resource} <- Access.run(make, fn -> store end),
         do: {:ok, %__MODULE__{resource: resource, reference: make_ref()}}
  end

  @doc "The number of elements."
  @spec size(t()) :: {:ok, non_neg_integer()} | {:error, Exception.t()}
  def size(%__MODULE__{resource: table}), do: run(table, fn -> Native.table_size(table, nil) end)

  @doc "The element at an index."
  @spec get(t(), non_neg_integer()) :: {:ok, term()} | {:error, Exception.t()}
  def get(%__MODULE__{resource: table}, index),
    do: run(table, fn -> Native.table_get(table, index, nil) end)

  @doc "Replaces the element at an index."
  @spec set(t(), non_neg_integer(), term()) :: :ok | {:error, Exception.t()}
  def set(%__MODULE__{resource: table}, index, value) do
    with {:ok, _} <- run(table, fn -> Native.table_set(table, index, value, nil) end), do: :ok
  end

  @doc "Adds `delta` elements, each set to `value`. Returns the previous size."
  @spec grow(t(), non_neg_integer(), term()) :: {:ok, non_neg_integer()} | {:error, Exception.t()}
  def grow(%__MODULE__{resource: table}, delta, value),
    do: run(table, fn -> Native.table_grow(table, delta, value, nil) end)

  @doc "The table's type, as in `Wasmex.Module.exports/1`."
  @spec type(t()) :: {:ok, tuple()} | {:error, Exception.t()}
  def type(%__MODULE__{resource: table}), do: run(table, fn -> Native.table_type(table, nil) end)

  defp run(table, operation), do: Access.run(operation, fn -> Native.table_store(table) end)
end
