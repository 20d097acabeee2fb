defmodule Wasmex.Components.KeyValue.ETS do
  alias Wasmex.Options

  @most 0x7FFF_FFFF_FFFF_FFFF
  @options Options.table(
             [
               max_keys: [type: {:integer, 1..@most}, default: 100_000, doc: "keys"],
               max_bytes: [
                 type: {:bytes, 1..@most},
                 default: 64 * 1024 * 1024,
                 doc: "the maximum size of all keys and values together"
               ],
               max_value: [
                 type: {:bytes, 1..@most},
                 default: 1024 * 1024,
                 doc: "the maximum size of a value"
               ],
               max_key: [
                 type: {:bytes, 1..@most},
                 default: 1024,
                 doc: "the maximum size of a key"
               ]
             ],
             "Wasmex.Components.KeyValue.ETS.new/2"
           )

  @moduledoc """
  Key-value stores in an ETS table, which belongs to the process that creates it.

  All stores of a table share these limits, so that a guest cannot fill the VM's memory:

  #{Options.Docs.table(@options)}

  Beyond a limit `set` and `increment` return an error to the guest (`other`), and nothing changes.

  Keys are listed in the order in which they were first set, 1,000 at a time. A cursor is the number of a key, so setting or
  deleting keys does not affect the positions of others.

  ## Example

      iex> {module, backend} = Wasmex.Components.KeyValue.ETS.new(["a"], max_keys: 1)
      iex> {:ok, bucket} = module.open(backend, "a")
      iex> module.set(bucket, "k", "v")
      :ok
      iex> module.set(bucket, "l", "v")
      {:error, "the store is full: it holds at most 1 keys (max_keys)"}
      iex> module.keys(bucket, nil)
      {:ok, ["k"], nil}
  """

  @behaviour Wasmex.Components.KeyValue

  # The maximum number of keys that `keys/2` returns.
  @page 1_000

  # Rows: `{{:key, name, key}, value, number}`, `{{:number, name, number}, key}`, `{:last, number}`, and
  # `{:used, keys, bytes}`, which is updated before rows are added and after they were removed.
  @type bucket :: {:ets.table(), String.t(), map()}

  @doc "Creates a table with stores of these names. The options are above."
  @spec new([String.t()], keyword()) :: {module(), term()}
  def new(names, opts \\ []) do
    limits = Options.new!(opts, @options)
    table = :ets.new(__MODULE__, [:ordered_set, :public, read_concurrency: true])
    {__MODULE__, {table, names, limits}}
  end

  @impl true
  def open({table, names, limits}, name),
    do: if(name in names, do: {:ok, {table, name, limits}}, else: {:error, :no_such_store})

  @impl true
  def get(bucket, key) do
    case look_up(bucket, key) do
      {value, _number} -> {:ok, value}
      nil -> {:ok, nil}
    end
  end

  defp look_up({table, name, _limits}, key) do
    case :ets.lookup(table, {:key, name, key}) do
      [{_, value, number}] -> {value, number}
      [] -> nil
    end
  end

  @impl true
  def set({_table, _name, limits}, key, _value) when byte_size(key) > limits.max_key,
    do: {:error, "the key is too long: #{byte_size(key)} bytes (max_key)"}

  def set({_table, _name, limits}, _key, value) when byte_size(value) > limits.max_value,
    do: {:error, "the value is too long: #{byte_size(value)} bytes (max_value)"}

  def set(bucket, key, value), do: put(bucket, key, fn _old -> {:ok, value, :ok} end)

  # Computes the new value from the old one (or nil). Retries if another process has changed the key.
  defp put(bucket, key, update) do
    found = look_up(bucket, key)

    with {:ok, value, result} <- update.(found && elem(found, 0)) do
      case write(bucket, key, found, value) do
        :ok -> result
        :overtaken -> put(bucket, key, update)
        error -> error
      end
    end
  end

  defp write({table, name, _limits} = bucket, key, nil, value) do
    bytes = byte_size(key) + byte_size(value)

    with :ok <- reserve(bucket, 1, bytes) do
      number = :ets.update_counter(table, :last, 1, {:last, 0})
      :ets.insert(table, {{:number, name, number}, key})

      if :ets.insert_new(table, {{:key, name, key}, value, number}) do
        :ok
      else
        :ets.delete(table, {:number, name, number})
        release(bucket, 1, bytes)
      end
    end
  end

  defp write({table, name, _limits} = bucket, key, {old, number}, value) do
    bytes = byte_size(value) - byte_size(old)
    row = {:key, name, key}
    replace = [{{row, old, number}, [], [{{{:const, row}, value, number}}]}]

    with :ok <- reserve(bucket, 0, bytes) do
      if :ets.select_replace(table, replace) == 1, do: :ok, else: release(bucket, 0, bytes)
    end
  end

  # Freeing space always succeeds.
  defp reserve({table, _name, limits} = bucket, keys, bytes) do
    [used_keys, used_bytes] = count(table, keys, bytes)

    cond do
      keys > 0 and used_keys > limits.max_keys ->
        release(bucket, keys, bytes)
        {:error, "the store is full: it holds at most #{limits.max_keys} keys (max_keys)"}

      bytes > 0 and used_bytes > limits.max_bytes ->
        release(bucket, keys, bytes)
        {:error, "the store is full: it holds at most #{limits.max_bytes} bytes (max_bytes)"}

      true ->
        :ok
    end
  end

  defp release({table, _name, _limits}, keys, bytes) do
    count(table, -keys, -bytes)
    :overtaken
  end

  defp count(table, keys, bytes),
    do: :ets.update_counter(table, :used, [{2, keys}, {3, bytes}], {:used, 0, 0})

  @impl true
  def delete({table, name, _limits} = bucket, key) do
    for {_, value, number} <- :ets.take(table, {:key, name, key}) do
      :ets.delete(table, {:number, name, number})
      release(bucket, 1, byte_size(key) + byte_size(value))
    end

    :ok
  end

  @impl true
  def keys(bucket, cursor), do: page(bucket, cursor || 0, @page, [])

  defp page({table, name, _limits} = bucket, number, left, keys) do
    case :ets.next(table, {:number, name, number}) do
      {:number, ^name, _next} when left == 0 -> {:ok, Enum.reverse(keys), number}
      {:number, ^name, next} -> page(bucket, next, left - 1, key(bucket, next) ++ keys)
      _another_store_or_the_end -> {:ok, Enum.reverse(keys), nil}
    end
  end

  # Skips a key that was deleted, or that has another number now.
  defp key({table, name, _limits} = bucket, number) do
    with [{_, key}] <- :ets.lookup(table, {:number, name, number}),
         {_value, ^number} <- look_up(bucket, key),
         do: [key],
         else: (_ -> [])
  end

  @impl true
  def increment({_table, _name, limits}, key, _delta) when byte_size(key) > limits.max_key,
    do: {:error, "the key is too long: #{byte_size(key)} bytes (max_key)"}

  def increment(bucket, key, delta) do
    put(bucket, key, fn old ->
      case old || <<0::little-64>> do
        <<number::little-64>> ->
          new = rem(number + delta, 0x1_0000_0000_0000_0000)
          {:ok, <<new::little-64>>, {:ok, new}}

        _ ->
          {:error,
           "the value of #{inspect(key, printable_limit: 100)} is not a number of 8 bytes"}
      end
    end)
  end
end
