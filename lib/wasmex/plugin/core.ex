defmodule Wasmex.Plugin.Core do
  @moduledoc false
  # Core modules as plug-ins: their stores, their initialization, and their calls, which the calling process drives.

  alias Wasmex.{Call, Engine, Error, Native, Plugin, Store, StoreLimits, Telemetry}
  alias Wasmex.Call.Access
  alias Wasmex.Plugin.{Manifest, Settings}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions}

  @doc "Gives a plug-in its instance, and initializes it."
  @spec new(Plugin.t()) :: {:ok, Plugin.t()} | {:error, Exception.t()}
  def new(%{compiled: compiled, options: options} = plugin) do
    settings = Settings.new(compiled.manifest, options)

    with {:ok, store} <- store(compiled, options),
         {:ok, resource} <- native(Native.plugin_new(store, compiled.resource, settings)),
         do: start(%{plugin | resource: resource}, store, options.fuel)
  end

  defp store(%{options: %{wasi: wasi?}} = compiled, options) do
    engine = Engine.resource(compiled.engine)
    limits = StoreLimits.of_memory(options.max_memory)

    if wasi? do
      wasi = %WasiOptions{
        preopen: preopen(compiled.manifest),
        stdout: options.stdout,
        stderr: options.stderr
      }

      case Store.make(wasi, limits, compiled.engine, []) do
        {:ok, store} -> {:ok, store.resource}
        {:error, error} -> {:error, Manifest.explain(error, compiled.manifest)}
      end
    else
      native(Native.store_new(engine, limits, nil, []))
    end
  end

  defp preopen(%Manifest{allowed_paths: paths}) do
    for {host, guest} <- paths do
      case host do
        "ro:" <> host -> %PreopenOptions{path: host, alias: guest, read_only: true}
        host -> %PreopenOptions{path: host, alias: guest}
      end
    end
  end

  defp native({:error, native}), do: {:error, Error.from_native(native)}
  defp native(ok), do: ok

  defp start(plugin, store, fuel) do
    span = Telemetry.start(:instantiate, %{tags: plugin.options.tags})
    again = fn -> Native.plugin_start(plugin.resource, fuel) end

    result =
      case again.() do
        {:ok, _nil} ->
          {:ok, plugin}

        step ->
          with {:ok, _nil} <- drive(step, plugin, store, nil, plugin.timeout, again),
               do: {:ok, plugin}
      end

    # Close it after a failed start: a host function may have kept the handle.
    if match?({:error, _}, result), do: Native.store_close(store)
    Telemetry.stop(span, result)
  end

  @doc "Calls a function, in a span. `opts` are the options of `Wasmex.Plugin.call/4`."
  @spec call(Plugin.t(), String.t(), binary(), map()) :: {:ok, binary()} | {:error, Exception.t()}
  def call(plugin, function, input, opts) do
    metadata = %{instance: plugin, function: function, tags: plugin.options.tags}
    span = Telemetry.start(:call, metadata)
    timeout = opts.timeout || plugin.timeout
    step = Native.plugin_call(plugin.resource, function, input, opts.fuel)
    Telemetry.stop(span, finish(step, plugin, function, input, opts.fuel, opts.context, timeout))
  end

  @doc "Drives a call from its first step to the end. `context` is for host functions."
  @spec finish(Call.step(), Plugin.t(), String.t(), binary(), fuel, term(), timeout()) ::
          {:ok, binary()} | {:error, Exception.t()}
        when fuel: non_neg_integer() | nil
  def finish(step, plugin, function, input, fuel, context, timeout) do
    again = fn -> Native.plugin_call(plugin.resource, function, input, fuel) end

    result =
      case step do
        {:ok, _} = ok -> ok
        {:error, native} -> {:error, Error.from_native(native)}
        step -> drive(step, plugin, Native.plugin_store(plugin.resource), context, timeout, again)
      end

    case result do
      {:ok, output} when is_binary(output) ->
        {:ok, output}

      {:ok, {:failed, code, text}} ->
        {:error, Plugin.Error.new(code, text)}

      {:ok, :spent} ->
        with :ok <- renew(plugin),
             do: finish(again.(), plugin, function, input, fuel, context, timeout)

      error ->
        error
    end
  end

  defp drive(step, plugin, store, context, timeout, again),
    do: Call.run(step, Call.new(store, timeout, &context(&1, plugin, context), again))

  # Host functions access blocks, not the memory.
  defp context(_memory, plugin, context),
    do: %{plugin: plugin, context: context, caller: make_ref()}

  # `_start` has run: replace the instance and keep the current configuration.
  defp renew(plugin) do
    store = Native.plugin_store(plugin.resource)

    with {:ok, config} <- Access.run(fn -> Native.plugin_config(store, nil) end, fn -> store end),
         {:ok, fresh} <- new(renewed(plugin, config)) do
      if not Native.plugin_replace(plugin.resource, store, fresh.resource), do: close(fresh)
      :ok
    end
  end

  # Of its own: host functions may keep it.
  defp renewed(plugin, config),
    do: %{plugin | options: %{plugin.options | config: config}, reference: make_ref()}

  @doc "Frees the store."
  @spec close(Plugin.t()) :: :ok
  def close(%{resource: resource}), do: resource |> Native.plugin_store() |> Native.store_close()
end
