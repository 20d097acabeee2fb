defmodule Wasmex.Pool.Source do
  @moduledoc false
  # Converts a user's options to a `Wasmex.Pool.Worker` and its argument.

  alias Wasmex.{
    Code,
    Compiler,
    Components,
    Engine,
    Error,
    HTTP,
    Linker,
    Module,
    Options,
    Plugin,
    StoreLimits,
    Template
  }

  alias Wasmex.HTTP.Function
  alias Wasmex.Options.Type
  alias Wasmex.Snapshot
  alias Wasmex.Pool.Worker
  alias Wasmex.Program.Compiled
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  @doc "The options for the source."
  @spec rows() :: keyword(keyword())
  def rows do
    [
      source: [
        type: :any,
        doc:
          "the code of the workers: a path, `{:bytes, bytes}`, a `Wasmex.Code`, a compiled module or component, a template of one, or a `Wasmex.Plugin.Compiled`",
        example: ~s|"priv/rules.wasm"|
      ],
      as: [
        type: {:one_of, [:instance, :program, :plugin, :http]},
        default: :instance,
        doc:
          "the kind of code: a library whose functions are called, a WASI program, a plug-in, or a function of `Wasmex.HTTP`"
      ],
      imports: [
        type: Type.Imports,
        default: %{},
        default_doc: "none",
        doc: "Elixir functions that instances may call; they are resolved once"
      ],
      wasi: [
        type: :any,
        default: false,
        doc:
          "WASI for the instances: `true`, `%Wasmex.Wasi.WasiOptions{}`, or `%Wasmex.Wasi.WasiP2Options{}` for components"
      ],
      store_limits: [
        type: {:or, [nil], {:options, StoreLimits}},
        default_doc: "none",
        doc: "of each instance's store"
      ],
      engine: [
        type: {:or, [nil], {:struct, Engine}},
        default_doc: "the shared default engine",
        doc: "the engine for a path or bytes"
      ],
      prepare: [
        type: {:or, [nil], :string},
        default_doc: "none",
        doc:
          "an exported function, without params, called once on each new instance, for example to reseed the randomness of a snapshot",
        example: ~s|"reseed"|
      ],
      tags: [
        type: :map,
        default: %{},
        default_doc: "none",
        doc:
          "of instances, for the metadata of telemetry; programs and plug-ins have them in `options:`",
        example: ~s|%{tenant: "a"}|
      ],
      options: [
        type: :keyword,
        default: [],
        doc:
          "for programs those of `Wasmex.run/3`, for plug-ins those of `Wasmex.Plugin.new/2`, for functions those of `Wasmex.HTTP.load/2`",
        example: "[timeout: 100]"
      ]
    ] ++ Options.Snapshot.row()
  end

  @doc "The worker for validated options."
  @spec worker(map()) :: {:ok, {module(), term()}} | {:error, Exception.t()}
  def worker(%{source: %Plugin.Compiled{} = compiled} = opts),
    do: {:ok, {Plugin.Pool, {compiled, opts.options}}}

  def worker(%{snapshot: snapshot} = opts) when snapshot != nil do
    with {:ok, snapshot} <- Snapshot.take(original(opts.source), snapshot),
         do: worker(%{opts | source: {:bytes, snapshot.bytes}, snapshot: nil})
  end

  def worker(%{as: :plugin, source: %Code{} = code} = opts) do
    with {:ok, bytes} <- Code.bytes(code), do: worker(%{opts | source: {:bytes, bytes}})
  end

  def worker(%{as: :plugin, source: source} = opts) do
    {compile, new} = Plugin.split_options!(opts.options)

    with {:ok, compiled} <- Plugin.compile(source, compile),
         do: {:ok, {Plugin.Pool, {compiled, new}}}
  end

  # A function's own settings limit its requests, whoever sends them.
  def worker(%{as: :http, source: source, options: options}) do
    with {:ok, name, bytes} <- named(source),
         settings = Function.settings!(options, "options"),
         {:ok, function} <- Function.load(name, bytes, settings),
         do: passing(function)
  end

  def worker(%{source: %Template{} = template, as: :instance} = opts),
    do: {:ok, {Worker.Instance, instance(template, opts)}}

  def worker(%{source: %Components.Template{} = template, as: :instance} = opts),
    do: {:ok, {Worker.Component, component(template, opts)}}

  def worker(%{as: :program} = opts) do
    with {:ok, program} <- compiled(opts.source, opts),
         do: {:ok, {Worker.Program, {program, opts.options}}}
  end

  def worker(opts) do
    with {:ok, compiled} <- compiled(opts.source, opts),
         {:ok, template} <- template(compiled, opts),
         do: worker(%{opts | source: template})
  end

  defp compiled(%struct{} = compiled, _opts)
       when struct in [Module, Template, Components.Component, Components.Template],
       do: {:ok, compiled}

  defp compiled(%Code{engine: settings} = code, opts) do
    settings = if fuel?(opts), do: Keyword.put(settings, :consume_fuel, true), else: settings
    Code.compiled(%{code | engine: settings})
  end

  defp compiled({:bytes, bytes}, opts) when is_binary(bytes),
    do: Compiled.compile(bytes, engine(opts), %Compiler.Options{cache: true})

  defp compiled(path, opts) when is_binary(path) do
    with {:ok, bytes} <- read(path), do: compiled({:bytes, bytes}, opts)
  end

  defp compiled(other, _opts),
    do:
      Options.misuse!(
        "a path, {:bytes, bytes}, a module, a component or a template as source",
        other
      )

  defp read(path) do
    with {:error, posix} <- Wasmex.Bytes.read(path) do
      message = "can't read #{Wasmex.Printable.line(path)}: #{Wasmex.Bytes.format_error(posix)}"
      {:error, %Error{reason: :file, details: %{path: path, posix: posix, message: message}}}
    end
  end

  defp named(%Code{} = code) do
    with {:ok, bytes} <- Code.bytes(code), do: {:ok, code.name, bytes}
  end

  defp named({:bytes, bytes}) when is_binary(bytes), do: {:ok, "function", bytes}

  defp named(path) when is_binary(path) do
    with {:ok, bytes} <- read(path), do: {:ok, path |> Path.basename() |> Path.rootname(), bytes}
  end

  defp named(other),
    do: Options.misuse!("a path, {:bytes, bytes} or code as source, with as: :http", other)

  defp passing(%{convention: :resident}) do
    message = "a resident server runs on its own and can't be pooled (convention: :resident)"
    {:error, %Error{reason: :not_a_program, details: %{message: message}}}
  end

  defp passing(function), do: {:ok, {HTTP.Worker, function}}

  defp original(%Code{} = code), do: code
  defp original({:bytes, _} = bytes), do: bytes
  defp original(path) when is_binary(path), do: path

  defp original(other),
    do: Options.misuse!("a path, {:bytes, bytes} or code as source, with snapshot:", other)

  # For a pool that counts fuel per key.
  defp engine(%{engine: %Engine{} = engine}), do: engine
  defp engine(opts), do: Engine.shared(if fuel?(opts), do: [consume_fuel: true], else: [])

  defp fuel?(%{per_key: limits}), do: limits != nil and limits[:fuel] != nil

  defp template(%Module{} = module, opts) do
    linker = %Linker{imports: opts.imports, wasi: opts.wasi != false}
    Linker.instantiate_pre(linker, module)
  end

  defp template(%Components.Component{} = component, opts),
    do: Components.Template.new(component, opts.imports)

  defp template(template, _opts), do: {:ok, template}

  defp instance(template, opts) do
    wasi =
      case opts.wasi do
        false -> nil
        true -> %WasiOptions{}
        %WasiOptions{} = wasi -> wasi
        other -> Options.misuse!("true, false or %Wasmex.Wasi.WasiOptions{} as wasi", other)
      end

    template
    |> Worker.Instance.new(wasi, opts.store_limits, fuel?(opts))
    |> Map.merge(%{prepare: opts.prepare, tags: opts.tags})
  end

  defp component(template, opts) do
    wasi =
      case opts.wasi do
        false -> WasiP2Options.nothing()
        true -> %WasiP2Options{}
        %WasiP2Options{} = wasi -> wasi
        other -> Options.misuse!("true, false or %Wasmex.Wasi.WasiP2Options{} as wasi", other)
      end

    template
    |> Worker.Component.new(wasi, opts.store_limits, fuel?(opts))
    |> Map.merge(%{prepare: opts.prepare, tags: opts.tags})
  end
end
