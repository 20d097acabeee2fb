defmodule Wasmex.Plugin.KeyValue do
  alias Wasmex.Options

  @options Options.table(Options.Plugin.key_value(), "Wasmex.Plugin.KeyValue.start_link/1")
  @functions Options.table(
               [
                 table: [type: :any, required: true, doc: "the process"],
                 scope: [
                   type: {:one_of, [:plugin, :shared]},
                   default: :plugin,
                   doc: "whether plug-ins share keys, see above"
                 ]
               ],
               "Wasmex.Plugin.KeyValue"
             )

  @moduledoc """
  An in-memory key-value store for plug-ins: host functions, and a process that owns the table.

      children = [{Wasmex.Plugin.KeyValue, name: MyApp.KV, max_bytes: 10_000_000}]

      Wasmex.Plugin.compile("plugin.wasm", functions: {Wasmex.Plugin.KeyValue, table: MyApp.KV})

  Unlike variables, values outlive the plug-in. They are lost when the process ends. With `scope: :plugin` (the default) each
  plug-in, identified by its name, has its own keys. With `scope: :shared` all plug-ins share them.

  The functions are in the namespace `"wasmex:host/kv"`. Keys are strings:

  | function | type | meaning |
  |---|---|---|
  | `kv_get` | (i64 key) → i64 | the value, or 0 |
  | `kv_set` | (i64 key, i64 value) → i32 | 1, or 0 and an error if the store is full |
  | `kv_delete` | (i64 key) → i32 | 1 if the key existed |
  | `kv_keys` | (i64 prefix) → i64 | a JSON array of the keys with this prefix, sorted, at most 10,000 |

  ## Example

      iex> {:ok, pid} = Wasmex.Plugin.KeyValue.start_link(max_bytes: 100)
      iex> Wasmex.Plugin.KeyValue.put(pid, :shared, "k", "v")
      :ok
      iex> Wasmex.Plugin.KeyValue.get(pid, :shared, "k")
      "v"
      iex> {:error, error} = Wasmex.Plugin.KeyValue.put(pid, :shared, "k", String.duplicate("v", 101))
      iex> error.reason
      :full
  """

  @behaviour Wasmex.Plugin.Functions

  use GenServer

  alias Wasmex.{Error, Utils}

  @namespace "wasmex:host/kv"
  # Counted per pair in addition to its key and value; about the overhead of the table.
  @overhead 64
  @most_keys 10_000

  @type table :: GenServer.server()
  @typedoc "Whose keys: `:shared`, or `{:plugin, name}`."
  @type scope :: term()

  @doc """
  Starts the process that owns a table.

  #{Options.Docs.table(@options)}
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    opts = Options.new!(opts, @options)
    server = if opts.name, do: [name: opts.name], else: []
    GenServer.start_link(__MODULE__, {opts.name, opts.max_bytes}, server)
  end

  @doc "The value of a key, or nil."
  @spec get(table(), scope(), String.t()) :: binary() | nil
  def get(table, scope, key) do
    case :ets.lookup(tab(table), {scope, key}) do
      [{_key, value}] -> value
      [] -> nil
    end
  end

  @doc "Sets a value. Returns an error with the reason `:full` if the store is full."
  @spec put(table(), scope(), String.t(), binary()) :: :ok | {:error, Error.t()}
  def put(table, scope, key, value) when is_binary(key) and is_binary(value),
    do: table |> Wasmex.Utils.server!() |> GenServer.call({:put, {scope, key}, value})

  @doc "Deletes a key. Returns whether it existed."
  @spec delete(table(), scope(), String.t()) :: boolean()
  def delete(table, scope, key),
    do: table |> Wasmex.Utils.server!() |> GenServer.call({:delete, {scope, key}})

  @doc "The keys with this prefix, sorted, at most 10,000."
  @spec keys(table(), scope(), String.t()) :: [String.t()]
  def keys(table, scope, prefix \\ "") do
    table = tab(table)
    first = if get(table, scope, prefix), do: [prefix], else: []
    first ++ following(table, {scope, prefix}, prefix, @most_keys - length(first))
  end

  defp following(_table, _key, _prefix, 0), do: []

  defp following(table, {scope, _} = key, prefix, most) do
    case :ets.next(table, key) do
      {^scope, next} = key ->
        if String.starts_with?(next, prefix),
          do: [next | following(table, key, prefix, most - 1)],
          else: []

      _ ->
        []
    end
  end

  @impl Wasmex.Plugin.Functions
  def functions(opts) do
    opts = Options.new!(opts, @functions)

    table = Utils.server!(opts.table)
    scope = scope!(opts.scope)

    %{
      @namespace => %{
        "kv_get" => {:fn, [:string], [:bytes], fn ctx, key -> get(table, scope.(ctx), key) end},
        "kv_set" =>
          {:fn, [:string, :bytes], [:i32],
           fn ctx, key, value ->
             with :ok <- put(table, scope.(ctx), key, value), do: 1
           end},
        "kv_delete" =>
          {:fn, [:string], [:i32],
           fn ctx, key -> if delete(table, scope.(ctx), key), do: 1, else: 0 end},
        "kv_keys" =>
          {:fn, [:string], [:json], fn ctx, prefix -> keys(table, scope.(ctx), prefix) end}
      }
    }
  end

  defp scope!(:shared), do: fn _context -> :shared end
  defp scope!(:plugin), do: fn context -> {:plugin, context.plugin.name} end

  defp scope!(other),
    do: Options.misuse!(":plugin or :shared as scope", other)

  # A named table is read without calling its process.
  defp tab(table) when is_atom(table) or is_reference(table), do: table
  defp tab(server), do: server |> Wasmex.Utils.server!() |> GenServer.call(:table)

  @impl GenServer
  def init({name, max}) do
    options = [:ordered_set, :protected, read_concurrency: true]

    table =
      if name, do: :ets.new(name, [:named_table | options]), else: :ets.new(__MODULE__, options)

    {:ok, %{table: table, bytes: 0, max: max}}
  end

  @impl GenServer
  def handle_call(:table, _from, state), do: {:reply, state.table, state}

  def handle_call({:put, key, value}, _from, %{table: table} = state) do
    bytes = state.bytes - size(table, key) + cost(key, value)

    if bytes > state.max do
      message =
        "no room for #{byte_size(value)} bytes: the store is limited to #{state.max} bytes"

      {:reply, {:error, %Error{reason: :full, details: %{message: message}}}, state}
    else
      :ets.insert(table, {key, value})
      {:reply, :ok, %{state | bytes: bytes}}
    end
  end

  def handle_call({:delete, key}, _from, %{table: table} = state) do
    size = size(table, key)
    :ets.delete(table, key)
    {:reply, size > 0, %{state | bytes: state.bytes - size}}
  end

  defp size(table, key) do
    case :ets.lookup(table, key) do
      [{_key, value}] -> cost(key, value)
      [] -> 0
    end
  end

  defp cost({_scope, key}, value), do: byte_size(key) + byte_size(value) + @overhead
end
