defmodule Wasmex.Plugin.Component do
  @moduledoc false
  # Components as plug-ins: each exported function `func(input: list<u8>) -> result<list<u8>, string>`, of the world or of an
  # interface, can be called. They have no blocks, variables or configuration.
  #
  # The component model does not allow calls into an instance after a call was stopped in the middle, so the next call
  # creates a new one. The handle of a plug-in therefore refers to the instance indirectly, see `plugin/held.rs`.

  alias Wasmex.{Compiler, Components, Engine, Error, Native, Plugin, StoreLimits}
  alias Wasmex.Components.{Instance, Template}
  alias Wasmex.Options.Type.Address
  alias Wasmex.Plugin.Manifest
  alias Wasmex.Wasi.{PreopenOptions, WasiP2Options}

  @input {:list, :u8}
  @result {:result, {:list, :u8}, :string}

  @type held :: {Components.Store.t(), Instance.t()}

  @doc "Compiles a component. Returns its template, and the paths of its callable functions by name."
  @spec compile(binary(), Wasmex.Engine.t(), map(), Compiler.Options.t()) ::
          {:ok, {Template.t(), %{String.t() => [String.t()]}}} | {:error, Exception.t()}
  def compile(bytes, engine, imports, compiler) do
    with {:ok, component} <-
           Components.Component.make(Engine.resource(engine), bytes, %{}, compiler),
         {:ok, functions} <- callable(Components.Component.exports(component)),
         {:ok, template} <- Template.new(component, imports),
         do: {:ok, {template, functions}}
  end

  defp callable(exports) do
    functions = functions(exports)

    if functions == %{} do
      message =
        "the component does not export a func(input: list<u8>) -> result<list<u8>, string>"

      {:error, %Error{reason: :component, details: %{message: message}}}
    else
      {:ok, functions}
    end
  end

  # A function of an interface is named `ns:pkg/iface.name`, and also `name` if that is unique.
  defp functions(exports) do
    all =
      Enum.flat_map(exports, fn
        {name, {:func, _, _} = type} ->
          [{name, [name], type}]

        {interface, {:instance, items}} ->
          for {name, {:func, _, _} = type} <- items, do: {name, [interface, name], type}

        _ ->
          []
      end)

    callable = for {name, path, {:func, [{_, @input}], @result}} <- all, do: {name, path}

    short =
      callable
      |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
      |> Enum.flat_map(fn
        {name, [path]} -> [{name, path}]
        {_name, _several} -> []
      end)

    full = for {_name, [_, _] = path} <- callable, do: {Enum.join(path, "."), path}
    Map.new(full ++ short)
  end

  @doc "Creates the instance of a plug-in, in its holder."
  @spec new(Plugin.Compiled.t(), map()) :: {:ok, reference()} | {:error, Exception.t()}
  def new(compiled, options),
    do: with({:ok, held} <- make(compiled, options), do: {:ok, Native.plugin_hold(held)})

  defp make(%Plugin.Compiled{manifest: manifest} = compiled, options) do
    {template, _functions} = compiled.resource
    timeout = options.timeout || manifest.timeout_ms || :infinity

    with :ok <- hosts(manifest),
         {:ok, store} <- store(compiled, manifest, options),
         {:ok, instance} <-
           Template.instantiate(template, Components.Store.tag(store, options.tags),
             timeout: timeout,
             fuel: options.fuel
           ),
         do: {:ok, {store, instance}}
  end

  # Patterns of the ABI may be more general.
  defp hosts(%Manifest{allowed_hosts: hosts}) do
    case Enum.find(hosts, &(not match?({:ok, _}, Address.cast(&1)))) do
      nil ->
        :ok

      host ->
        expected = Address.expected()
        Manifest.error("allowed_hosts of a component: expected #{expected}, got #{inspect(host)}")
    end
  end

  defp store(compiled, %Manifest{} = manifest, options) do
    limits = StoreLimits.of_memory(options.max_memory)

    made =
      if compiled.options.wasi,
        do:
          Components.Store.new_wasi(
            wasi(compiled, manifest, options),
            limits,
            compiled.engine
          ),
        else: Components.Store.new(limits, compiled.engine)

    with {:error, text} <- made do
      error = %Error{reason: :wasi, details: %{message: text}}
      {:error, Manifest.explain(error, manifest)}
    end
  end

  defp wasi(compiled, manifest, options) do
    preopen =
      for {host, guest} <- manifest.allowed_paths do
        case host do
          "ro:" <> host -> %PreopenOptions{path: host, alias: guest, read_only: true}
          host -> %PreopenOptions{path: host, alias: guest}
        end
      end

    %{WasiP2Options.nothing() | preopen: preopen, stdout: options.stdout, stderr: options.stderr}
    |> struct!(http(manifest, compiled.options))
  end

  # Requests of wasi:http follow the same rules as those of the ABI, if the patterns are valid for it too.
  defp http(%Manifest{allowed_hosts: []}, _options), do: []
  defp http(_manifest, %{http: false}), do: []

  defp http(manifest, options) do
    [
      allowed_hosts: manifest.allowed_hosts,
      http: if(is_function(options.http), do: options.http),
      http_timeout: options.http_timeout,
      http_cacerts: options.http_cacerts,
      http_max_response: max(manifest.memory.max_http_response_bytes, 1),
      http_redirects: 10
    ]
  end

  @doc "Calls a function by name."
  @spec call(Plugin.t(), String.t(), binary(), keyword()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def call(%Plugin{compiled: %{resource: {_template, functions}}} = plugin, name, input, opts) do
    case functions do
      %{^name => path} -> call_path(plugin, path, input, opts)
      _ -> {:error, unknown(name, functions)}
    end
  end

  defp call_path(plugin, path, input, opts) do
    {version, {_store, instance}} = Native.plugin_held(plugin.resource)

    case Instance.call(instance, path, [input], opts) do
      {:ok, {:ok, output}} ->
        {:ok, output}

      {:ok, {:error, text}} ->
        {:error, Plugin.Error.new(1, text)}

      {:error, %Error{reason: :spent}} ->
        with :ok <- renew(plugin, version), do: call_path(plugin, path, input, opts)

      error ->
        error
    end
  end

  defp renew(plugin, version) do
    with {:ok, {store, _instance} = held} <- make(plugin.compiled, plugin.options) do
      unless Native.plugin_hold_next(plugin.resource, version, held),
        do: Components.Store.close(store)

      :ok
    end
  end

  defp unknown(name, functions) do
    names = Map.keys(functions)
    %Error{reason: :unknown_export, details: %{kind: :func, name: name, names: names}}
  end

  @doc "Frees the instance."
  @spec close(Plugin.t()) :: :ok
  def close(%Plugin{resource: resource}) do
    {_version, {store, _instance}} = Native.plugin_held(resource)
    Components.Store.close(store)
  end
end
