defmodule Wasmex.Plugin.Pool do
  @moduledoc """
  A bounded pool of plug-ins with a queue, which can reload a changed file.

      children = [
        {Wasmex.Plugin.Pool, source: "priv/plugin.wasm", name: MyApp.Plugins, size: 16, reload: true}
      ]

      Wasmex.Plugin.Pool.call(MyApp.Plugins, "render", page, timeout: 500)

  By default each call gets a new plug-in, so calls share no state. With `policy: {:reuse, 1_000}` a plug-in handles this
  number of calls and keeps its memory and variables between them. With `:reset` the variables are cleared after each call.
  After a failed call the plug-in is not used again.

  With `reload: true` the file (or the files of a manifest) is checked every second. A changed file is compiled, and later
  calls use the new version; running calls finish with the old one. If it does not compile, an error is logged and the old
  version stays active.

  ## Example

      iex> {:ok, pool} = Wasmex.Plugin.Pool.start_link(source: "test/guests/plugins/echo.wasm", size: 2)
      iex> Wasmex.Plugin.Pool.call(pool, "echo", "hello")
      {:ok, "hello"}
  """

  @behaviour Wasmex.Pool.Worker

  alias Wasmex.{Native, Plugin, Pool}
  alias Wasmex.Call.Access
  alias Wasmex.Plugin.Pool.Reloader
  alias Wasmex.Pool.Worker.Meter

  @pool Keyword.keys(Wasmex.Options.Pool.rows())
  @own [:source, :reload | @pool]

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts),
    do: %{id: opts[:name] || __MODULE__, start: {__MODULE__, :start_link, [opts]}}

  @doc """
  Starts a pool. Options: `:source`, `:name` (registers the process), `:reload`, those of `Wasmex.Pool.start_link/1` (`:size`,
  `:policy`, `:max_queue`, `:warm`, `:idle`, `:per_key`), and those of `Wasmex.Plugin.new/2`.
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    {own, plugin} = Keyword.split(opts, @own)

    source =
      own[:source] ||
        raise ArgumentError, "missing option source: of Wasmex.Plugin.Pool"

    {compile, new} = Plugin.split_options!(plugin)
    new = if own[:name], do: Keyword.put_new(new, :name, own[:name]), else: new
    pool = Keyword.take(own, @pool)

    with {:ok, compiled} <- Plugin.compile(source, compile),
         {:ok, pid} <- Pool.start_link([worker: {__MODULE__, {compiled, new}}] ++ pool) do
      if own[:reload], do: {:ok, _} = Reloader.start(pid, source, compile, new)
      {:ok, pid}
    end
  end

  @doc """
  Calls a function of a plug-in of the pool. Options: those of `Wasmex.Plugin.call/4` and of `Wasmex.Pool.call/4`:
  `:checkout_timeout`, the maximum time in the queue in ms (5,000 by default), and `:key`.
  """
  @spec call(Pool.t(), String.t(), Plugin.input(), keyword()) ::
          {:ok, binary() | term()} | {:error, Exception.t()}
  @impl Wasmex.Pool.Worker
  def call(pool, function, input \\ "", opts \\ [])

  # As the worker of a pool.
  def call(%Plugin{} = plugin, function, input, opts),
    do: Plugin.call(plugin, function, input, opts)

  def call(pool, function, input, opts), do: Pool.call(pool, function, input, opts)

  @impl Wasmex.Pool.Worker
  def make({compiled, opts}) do
    with {:ok, plugin} <- Plugin.new(compiled, opts) do
      # Counts fuel from here on, if enabled.
      _ = Native.store_set_fuel(store(plugin), Meter.full(), nil)
      {:ok, plugin}
    end
  end

  # A component has no variables to clear: it is replaced.
  @impl Wasmex.Pool.Worker
  def reset(%Plugin{compiled: %{kind: :component}}), do: :replace

  def reset(plugin) do
    store = store(plugin)

    with :ok <- Plugin.reset(plugin),
         {:ok, _} <- Access.run(fn -> Native.plugin_clear_vars(store, nil) end, fn -> store end),
         do: {:ok, plugin}
  end

  @impl Wasmex.Pool.Worker
  def close(plugin), do: Plugin.close(plugin)

  @impl Wasmex.Pool.Worker
  def meter(plugin), do: plugin |> store() |> Meter.read()

  @impl Wasmex.Pool.Worker
  def grant(plugin, fuel), do: plugin |> store() |> Meter.grant(fuel)

  defp store(%Plugin{compiled: %{kind: :component}, resource: resource}) do
    {_version, {store, _instance}} = Native.plugin_held(resource)
    store.resource
  end

  defp store(%Plugin{resource: resource}), do: Native.plugin_store(resource)
end
