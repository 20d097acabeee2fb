defmodule Wasmex.Components.KeyValue.ETS do
  @moduledoc """
  Key-value stores in an ETS table, which belongs to the process that makes it.

  ## Example

      iex> {Wasmex.Components.KeyValue.ETS, {table, ["a"]}} = Wasmex.Components.KeyValue.ETS.new(["a"])
      iex> :ets.info(table, :size)
      0
  """

  @behaviour Wasmex.Components.KeyValue

  # Keys that `keys/2` returns at a time.
  @page 1_000

  @doc "A table with stores of these names; others can't be opened."
  @spec new([String.t()]) :: {module(), term()}
  def new(names) do
    table = :ets.new(__MODULE__, [:ordered_set, :public, read_concurrency: true])
    {__MODULE__, {table, names}}
  end

  @impl true
  def open({table, names}, name),
    do: if(name in names, do: {:ok, {table, name}}, else: {:error, :no_such_store})

  @impl true
  def get({table, name}, key) do
    case :ets.lookup(table, {name, key}) do
      [{_, value}] -> {:ok, value}
      [] -> {:ok, nil}
    end
  end

  @impl true
  def set({table, name}, key, value) do
    :ets.insert(table, {{name, key}, value})
    :ok
  end

  @impl true
  def delete({table, name}, key) do
    :ets.delete(table, {name, key})
    :ok
  end

  @impl true
  def keys({table, name}, cursor) do
    skip = cursor || 0
    keys = :ets.select(table, [{{{name, :"$1"}, :_}, [], [:"$1"]}])
    page = keys |> Enum.drop(skip) |> Enum.take(@page)
    next = skip + length(page)
    {:ok, page, if(next < length(keys), do: next)}
  end

  # One after the other: whoever comes between sees the old value and tries again.
  @impl true
  def increment({table, name} = bucket, key, delta) do
    {:ok, old} = get(bucket, key)

    case old || <<0::little-64>> do
      <<number::little-64>> ->
        new = rem(number + delta, 0x1_0000_0000_0000_0000)
        swapped? = swap(table, {name, key}, old, <<new::little-64>>)
        if swapped?, do: {:ok, new}, else: increment(bucket, key, delta)

      _ ->
        {:error, "the value of #{inspect(key)} is no number"}
    end
  end

  defp swap(table, key, nil, new), do: :ets.insert_new(table, {key, new})

  defp swap(table, key, old, new),
    do: :ets.select_replace(table, [{{key, old}, [], [{{{:const, key}, new}}]}]) == 1
end
