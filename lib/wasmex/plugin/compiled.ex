defmodule Wasmex.Plugin.Compiled do
  @moduledoc """
  A compiled and linked plug-in, the result of `Wasmex.Plugin.compile/2`. Any process can create plug-ins from it.
  """

  alias Wasmex.{Engine, Error, Native}
  alias Wasmex.Plugin.{Component, Functions, HTTP, Manifest, Source}

  @enforce_keys [:kind, :resource, :manifest, :engine, :options]
  defstruct [:kind, :resource, :manifest, :engine, :options, reference: nil]

  @type t :: %__MODULE__{
          kind: :module | :component,
          resource: reference() | tuple(),
          manifest: Manifest.t(),
          engine: Engine.t(),
          options: map(),
          reference: reference()
        }

  @http [:http, :http_timeout, :http_cacerts]

  @doc false
  # Compiles and links a source with checked options of `Wasmex.Plugin.compile/2`.
  @spec make(Wasmex.Plugin.source(), map()) :: {:ok, t()} | {:error, Exception.t()}
  def make(source, opts) do
    engine = opts[:engine] || Engine.shared(if opts[:fuel], do: [consume_fuel: true], else: [])
    functions = Functions.prepare(opts[:functions], HTTP.import(opts[:http]))
    :ok = Source.check!(opts)

    with {:ok, manifest} <- Source.manifest(source, opts[:strict]),
         manifest = Manifest.override(manifest, opts),
         {:ok, wasm} <- Source.fetch(manifest.wasm, opts),
         {:ok, wasm} <- Source.snapshot(wasm, opts[:snapshot]) do
      made =
        with {:ok, modules} <- Source.modules(wasm, engine, opts),
             do: link(engine, modules, functions, opts)

      case made do
        {:ok, resource} ->
          {:ok, compiled(:module, resource, manifest, engine, opts)}

        # A component must be the only module of its manifest.
        {:error, %Error{reason: :component}} ->
          with {:ok, bytes, compile} <- Source.component(wasm, opts),
               {:ok, made} <- Component.compile(bytes, engine, opts[:imports], compile),
               do: {:ok, compiled(:component, made, manifest, engine, opts)}

        error ->
          error
      end
    end
  end

  defp compiled(kind, resource, manifest, engine, opts) do
    %__MODULE__{
      kind: kind,
      resource: resource,
      manifest: manifest,
      engine: engine,
      options: Map.merge(Map.take(opts, [:wasi | @http]), %{name: name(manifest)}),
      reference: make_ref()
    }
  end

  defp link(engine, modules, {declarations, functions}, opts) do
    modules = for {name, module} <- modules, do: {name, module.resource}
    engine = Engine.resource(engine)
    {hosts, sending} = {hosts(opts[:wasi]), HTTP.sending(opts)}

    with {:error, native} <-
           Native.plugin_template_new(engine, modules, declarations, functions, hosts, sending),
         do: {:error, Error.from_native(native)}
  end

  defp hosts(false), do: {[], false}
  defp hosts(true), do: {["wasi_snapshot_preview1"], false}

  # The name of the plug-in's file, for logs.
  defp name(%Manifest{wasm: wasm}) do
    case Enum.find(wasm, List.last(wasm), &(&1.name == "main")) do
      %{source: {:path, path}} -> Path.basename(path)
      %{source: {:url, url, _, _}} -> Path.basename(url)
      _ -> "plugin"
    end
  end
end
