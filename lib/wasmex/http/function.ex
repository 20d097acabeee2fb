defmodule Wasmex.HTTP.Function do
  @moduledoc false
  # A program that handles requests: compiled, with resolved imports and validated settings.

  alias Wasmex.{Artefact, Compiler, Engine, Error, Module, Native, Snapshot, StoreOrCaller}
  alias Wasmex.Components.{Component, Instance}
  alias Wasmex.HTTP
  alias Wasmex.HTTP.Convention
  alias Wasmex.Program.{Compiled, Kind, Options, Sink, Source}
  alias Wasmex.Wasi.WasiOptions

  @enforce_keys [:name, :source, :convention, :options]
  defstruct name: nil,
            source: nil,
            convention: nil,
            # The `Wasmex.Program.Options` of each run.
            options: nil,
            # The allowed methods, or nil for all.
            methods: nil,
            max_body: 0,
            # The number of instances kept for reuse, and the shared memory of their pool, once it is started.
            reuse: 0,
            pool: nil,
            # The listener and the process of a resident server, once it is started.
            resident: nil,
            size: 0

  @type t :: %__MODULE__{}

  @typedoc "Validated settings. Missing ones have their defaults."
  @type settings :: %{atom() => term()}

  @options Wasmex.Options.table(Wasmex.Options.HTTP.function(), "Wasmex.HTTP.load/2")

  # Settings that are also options of programs.
  @program Enum.filter(@options.names, &(&1 in Options.__options__().names))

  @doc false
  @spec __options__() :: Wasmex.Options.t()
  def __options__, do: @options

  @doc """
  Loads a function from wasm, WAT or an artefact. `settings!/2` must have validated the settings.
  """
  @spec load(String.t(), binary(), settings()) :: {:ok, t()} | {:error, Exception.t()}
  def load(name, bytes, settings) do
    settings = Map.merge(@options.defaults, settings)
    options = options(settings)
    engine = engine(options)

    with {:ok, code} <- Snapshot.applied(bytes, settings.snapshot),
         {:ok, module} <- Compiled.compile(code, engine, Compiler.Options.from!(settings)),
         do: make(name, module, bytes, settings)
  end

  @doc "Creates a function from a compiled program."
  @spec of(Component.t(), String.t(), settings()) :: {:ok, t()} | {:error, Exception.t()}
  def of(compiled, name, settings),
    do: make(name, compiled, "", Map.merge(@options.defaults, settings))

  @doc "Creates a function from an instance, which keeps its state between requests."
  @spec of_instance(Instance.t(), String.t(), settings()) :: t()
  def of_instance(%Instance{} = instance, name, settings) do
    store = StoreOrCaller.__wrap_resource__(instance.store_resource)
    # The store already has its output streams, so nothing is printed here.
    stderr = Sink.open(:hold, :stderr, name)
    options = %{options(settings) | name: name}

    %__MODULE__{
      name: name,
      source: %Source{
        module: nil,
        name: name,
        instance: {store, instance.instance_resource, stderr}
      },
      convention: :component,
      options: options,
      max_body: :infinity
    }
  end

  defp make(name, module, bytes, settings) do
    options = options(settings)
    source = Source.of(module)

    with {:ok, convention} <- convention(source, bytes, settings.convention),
         {:ok, template} <- link(name, source, convention) do
      {:ok,
       %__MODULE__{
         name: name,
         source: %{
           source
           | template: template,
             name: name,
             wasi: wasi(convention, source.kind, name, options)
         },
         convention: convention,
         options: %{options | name: name},
         methods: settings.methods,
         max_body: settings.max_body,
         # Commands end with their request.
         reuse: if(convention == :component, do: settings.reuse, else: 0),
         size: byte_size(bytes)
       }}
    end
  end

  # Options that are the same for all requests are only validated here. Requests add text that `Exchange` has made valid.
  defp wasi(convention, kind, name, options)
       when convention in [:env, :cgi] and kind == Kind.Core do
    options
    |> kind.wasi([name], {:null, :null, :null})
    |> WasiOptions.to_native!()
  end

  defp wasi(_convention, _kind, _name, _options), do: nil

  # Functions use a pooling engine, because mapping memory would take longer than most requests. The pool reserves address
  # space, not memory. Memory is cleared between instances.
  @pool [
    pooling: 1_000,
    pooling_memory_size: 128 * 1024 * 1024,
    pooling_keep_resident: 1024 * 1024
  ]

  defp engine(options) do
    fuel = if options.fuel, do: [consume_fuel: true], else: []

    if options.max_memory <= @pool[:pooling_memory_size],
      do: pooled(fuel),
      else: Engine.shared(fuel)
  end

  defp pooled(fuel) do
    Engine.shared(@pool ++ fuel)
  rescue
    # Without enough address space (a small `ulimit -v`), functions work without a pool, only slower.
    Wasmex.Error -> Engine.shared(fuel)
  end

  defp options(settings) do
    settings
    |> Map.take(@program)
    |> Map.to_list()
    |> Options.new!(stdout: :hold, stderr: :hold)
  end

  # Components with a handler use it. Everything else must be a command, whose convention is requested or detected.
  defp convention(%{module: module, kind: kind}, bytes, requested) do
    cond do
      HTTP.Component.handler?(module) ->
        {:ok, :component}

      requested == :component ->
        none("it does not export wasi:http/incoming-handler")

      requested == :resident and is_struct(module, Component) ->
        none("a resident server is a module")

      kind.program?(module) == :ok ->
        {:ok, requested || guess(module, bytes)}

      true ->
        none("it is neither a WASI command nor exports wasi:http/incoming-handler")
    end
  end

  defp none(message),
    do: {:error, %Error{reason: :not_a_program, details: %{message: message}}}

  # In an artefact, text of the module cannot be distinguished from that of the compiler.
  defp guess(%Component{}, bytes), do: Convention.guess([], bytes)

  defp guess(%Module{} = module, bytes) do
    bytes = if Artefact.artefact?(bytes), do: "", else: bytes
    Convention.guess(Native.module_imports(module.resource), bytes)
  end

  defp link(name, %{module: module, kind: kind}, convention) do
    imports = Convention.imports(convention, name)
    imports = if is_struct(module, Component), do: %{}, else: imports
    kind.link(module, imports, false)
  end

  @doc "Validates settings. `place` is their location, for error messages."
  @spec settings!(keyword() | map(), String.t()) :: settings()
  def settings!(settings, place) do
    settings = Wasmex.Options.listed(settings)
    settings = Wasmex.Options.explicit!(settings, %{@options | place: place})
    _ = Compiler.Options.from!(Map.merge(@options.defaults, settings))
    settings
  end
end
