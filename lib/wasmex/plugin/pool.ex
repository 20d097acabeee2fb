defmodule Wasmex.Plugin.Pool do
  @moduledoc """
  Many plug-ins of one kind for many callers: bounded, with a queue, and with a file that may change under it.

      children = [
        {Wasmex.Plugin.Pool, source: "priv/plugin.wasm", name: MyApp.Plugins, size: 16, reload: true}
      ]

      Wasmex.Plugin.Pool.call(MyApp.Plugins, "render", page, timeout: 500)

  By default each call has a plug-in of its own, made for it, so that calls see nothing of each other. With
  `policy: {:reuse, 1_000}` a plug-in serves so many calls, one after the other, and keeps its memory and variables between
  them; with `:reset` its variables are forgotten after each. One whose call failed is not used again.

  With `reload: true` the file (or the files of a manifest) is looked at every second. When it has changed it is compiled,
  and calls from then on run the new one; those under way end with the old one. A file that can't be compiled changes nothing,
  and is logged.

  ## Example

      iex> {:ok, pool} = Wasmex.Plugin.Pool.start_link(source: "test/guests/plugins/echo.wasm", size: 2)
      iex> Wasmex.Plugin.Pool.call(pool, "echo", "hello")
      {:ok, "hello"}
  """

  @behaviour Wasmex.Pool.Worker

  alias Wasmex.{Native, Plugin, Pool}
  alias Wasmex.Call.Access
  alias Wasmex.Plugin.Pool.Reloader

  @own [:source, :name, :size, :policy, :max_queue, :reload]

  @doc false
  def child_spec(opts),
    do: %{id: opts[:name] || __MODULE__, start: {__MODULE__, :start_link, [opts]}}

  @doc """
  Starts a pool. `:source` says what the plug-ins are made of; `:name` registers it; `:size`, `:policy` and `:max_queue` are
  those of `Wasmex.Pool.start_link/1`; `:reload` is above; all others are those of `Wasmex.Plugin.new/2`.
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    {own, plugin} = Keyword.split(opts, @own)

    source =
      own[:source] ||
        raise ArgumentError, "Wasmex.Plugin.Pool needs a source:"

    {compile, new} = Plugin.split_options!(plugin)
    new = if own[:name], do: Keyword.put_new(new, :name, own[:name]), else: new
    pool = Keyword.take(own, [:name, :size, :policy, :max_queue])

    with {:ok, compiled} <- Plugin.compile(source, compile),
         {:ok, pid} <- Pool.start_link([worker: {__MODULE__, {compiled, new}}] ++ pool) do
      if own[:reload], do: {:ok, _} = Reloader.start(pid, source, compile, new)
      {:ok, pid}
    end
  end

  @doc """
  Calls a function of one of the plug-ins: `Wasmex.Plugin.call/4` with its options, and `:checkout_timeout`, ms that may be
  waited for a place, by default 5,000.
  """
  @spec call(Pool.t(), String.t(), iodata(), keyword()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def call(pool, function, input \\ "", opts \\ []) do
    {wait, opts} = Keyword.pop(opts, :checkout_timeout, 5_000)

    use = fn plugin ->
      result = Plugin.call(plugin, function, input, opts)
      {if(match?({:ok, _}, result), do: :keep, else: :replace), result}
    end

    with {:ok, result} <- Pool.run(pool, use, timeout: wait), do: result
  end

  @impl Wasmex.Pool.Worker
  def make({compiled, opts}), do: Plugin.new(compiled, opts)

  @impl Wasmex.Pool.Worker
  def reset(plugin) do
    store = Native.plugin_store(plugin.resource)

    with :ok <- Plugin.reset(plugin),
         {:ok, _} <- Access.run(fn -> Native.plugin_clear_vars(store, nil) end, fn -> store end),
         do: {:ok, plugin}
  end

  @impl Wasmex.Pool.Worker
  def close(plugin), do: Plugin.close(plugin)
end
