defmodule Wasmex.HTTP.Function do
  @moduledoc false
  # A program that answers requests: compiled, its imports resolved, its settings checked.

  alias Wasmex.{Artefact, Compiler, Engine, Error, Module, Native, StoreOrCaller}
  alias Wasmex.Components.{Component, Instance}
  alias Wasmex.HTTP
  alias Wasmex.HTTP.Convention
  alias Wasmex.Pool.Idle
  alias Wasmex.Program.{Compiled, Options, Sink, Source}

  @enforce_keys [:name, :source, :convention, :options]
  defstruct name: nil,
            source: nil,
            convention: nil,
            # `Wasmex.Program.Options` for each run.
            options: nil,
            # Methods that it answers, nil for all.
            methods: nil,
            max_body: 0,
            size: 0

  @type t :: %__MODULE__{}

  @typedoc "Settings that were checked; those that are missing have their defaults."
  @type settings :: %{atom() => term()}

  @options Wasmex.Options.table(Wasmex.Options.HTTP.function(), "Wasmex.HTTP.load/2")

  # Those that are a program's too.
  @program Enum.filter(@options.names, &(&1 in Options.__options__().names))

  @doc false
  @spec __options__() :: Wasmex.Options.t()
  def __options__, do: @options

  @doc """
  From the bytes of a wasm file, WAT or an artefact. Settings were checked by `settings!/2`.
  """
  @spec load(String.t(), binary(), settings()) :: {:ok, t()} | {:error, Exception.t()}
  def load(name, bytes, settings) do
    settings = Map.merge(@options.defaults, settings)
    options = options(settings)
    engine = engine(options)

    with {:ok, module} <- Compiled.compile(bytes, engine, Compiler.Options.from!(settings)),
         do: make(name, module, bytes, settings)
  end

  @doc "From what is compiled already."
  @spec of(Component.t(), String.t(), settings()) :: {:ok, t()} | {:error, Exception.t()}
  def of(compiled, name, settings),
    do: make(name, compiled, "", Map.merge(@options.defaults, settings))

  @doc "An instance, which is asked as it is and keeps its state."
  @spec of_instance(Instance.t(), String.t(), settings()) :: t()
  def of_instance(%Instance{} = instance, name, settings) do
    store = StoreOrCaller.__wrap_resource__(instance.store_resource)
    # What its store prints to was said when that was made; nothing comes here.
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
             idle: idle(convention, settings.reuse)
         },
         convention: convention,
         options: %{options | name: name},
         methods: settings.methods,
         max_body: settings.max_body,
         size: byte_size(bytes)
       }}
    end
  end

  # Others are programs that end with their request.
  defp idle(:component, most) when most > 0, do: Idle.new(most)
  defp idle(_convention, _most), do: nil

  # Instances of functions come from a pool: for a short-lived one the memory costs more than the work.
  # The pool reserves addresses, not memory; what an instance leaves is cleared for the next.
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
    # Where so many addresses can't be had (a small `ulimit -v`), all works without, only slower.
    Wasmex.Error -> Engine.shared(fuel)
  end

  defp options(settings) do
    settings
    |> Map.take(@program)
    |> Map.to_list()
    |> Options.new!(stdout: :hold, stderr: :hold)
  end

  # A component that has a handler is asked; anything else is a command, whose convention is said or found out.
  defp convention(%{module: module, kind: kind}, bytes, said) do
    cond do
      HTTP.Component.handler?(module) -> {:ok, :component}
      said == :component -> none("it exports no wasi:http/incoming-handler")
      kind.program?(module) == :ok -> {:ok, said || guess(module, bytes)}
      true -> none("it is no WASI command and exports no wasi:http/incoming-handler")
    end
  end

  defp none(message),
    do: {:error, %Error{reason: :not_a_program, details: %{message: message}}}

  # An artefact has no text of the module's in it that could be told from the compiler's.
  defp guess(%Component{}, bytes), do: Convention.guess([], bytes)

  defp guess(%Module{} = module, bytes) do
    bytes = if Artefact.artefact?(bytes), do: "", else: bytes
    Convention.guess(Native.module_imports(module.resource), bytes)
  end

  defp link(name, %{module: module, kind: kind}, convention) do
    imports = Convention.module(convention).imports(name)
    imports = if is_struct(module, Component), do: %{}, else: imports
    kind.link(module, imports, false)
  end

  @doc "The settings given, checked; `place` says where they stand."
  @spec settings!(keyword() | map(), String.t()) :: settings()
  def settings!(settings, place) do
    settings = Wasmex.Options.listed(settings)
    given = Wasmex.Options.given!(settings, %{@options | place: place})
    _ = Compiler.Options.from!(Map.merge(@options.defaults, given))
    given
  end
end
