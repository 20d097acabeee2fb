defmodule Wasmex.HTTP.Function do
  @moduledoc false
  # A program that answers requests: compiled, its imports resolved, its settings checked.

  alias Wasmex.{Artefact, Engine, Error, Module, Native, StoreOrCaller}
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

  @defaults [
    timeout: 5_000,
    max_memory: 128 * 1024 * 1024,
    max_output: 16 * 1024 * 1024,
    max_body: 8 * 1024 * 1024,
    convention: nil,
    methods: nil,
    reuse: 0,
    env: %{},
    dirs: %{},
    fuel: nil,
    tcp: [],
    udp: [],
    lookup: [],
    allowed_hosts: nil
  ]

  @keys Keyword.keys(@defaults)

  def keys, do: @keys

  @doc """
  From the bytes of a wasm file, WAT or an artefact. Settings were checked by `settings!/2`.
  """
  @spec load(String.t(), binary(), keyword()) :: {:ok, t()} | {:error, Exception.t()}
  def load(name, bytes, settings) do
    settings = Keyword.merge(@defaults, settings)
    options = options(settings)
    engine = engine(options)

    with {:ok, module} <- Compiled.compile(bytes, engine),
         do: make(name, module, bytes, settings)
  end

  @doc "From what is compiled already."
  @spec of(Component.t(), String.t(), keyword()) :: {:ok, t()} | {:error, Exception.t()}
  def of(compiled, name, settings),
    do: make(name, compiled, "", Keyword.merge(@defaults, settings))

  @doc "An instance, which is asked as it is and keeps its state."
  @spec of_instance(Instance.t(), String.t(), keyword()) :: t()
  def of_instance(%Instance{} = instance, name, settings) do
    store = StoreOrCaller.__wrap_resource__(instance.store_resource)
    # What its store prints to was said when that was made; nothing comes here.
    stderr = Sink.open(:hold, :stderr, name)
    options = Options.new!(settings, stdout: :hold, stderr: :hold, name: name)

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

    with {:ok, convention} <- convention(source, bytes, settings[:convention]),
         {:ok, template} <- link(name, source, convention) do
      {:ok,
       %__MODULE__{
         name: name,
         source: %{
           source
           | template: template,
             name: name,
             idle: idle(convention, settings[:reuse])
         },
         convention: convention,
         options: %{options | name: name},
         methods: settings[:methods],
         max_body: settings[:max_body],
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
    |> Keyword.take([:timeout, :max_memory, :max_output, :env, :dirs, :fuel])
    |> Keyword.merge(Keyword.take(settings, [:tcp, :udp, :lookup, :allowed_hosts]))
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

  @doc "Raises with the name of the key that is wrong; `place` says where it stands."
  @spec settings!(keyword() | map(), String.t()) :: keyword()
  def settings!(settings, place) do
    Wasmex.Utils.known!(settings, @keys, "#{place}: ")

    for {key, value} <- settings do
      unless valid?(key, value),
        do:
          raise(
            ArgumentError,
            "#{place}: #{key} must be #{expected(key)}, got: #{inspect(value)}"
          )
    end

    settings = Enum.to_list(settings)

    try do
      options(Keyword.merge(@defaults, settings))
    rescue
      error in ArgumentError ->
        reraise ArgumentError, "#{place}: #{error.message}", __STACKTRACE__
    end

    settings
  end

  defp valid?(:timeout, value), do: is_integer(value) and value > 0
  defp valid?(:convention, value), do: value == nil or value in Convention.names()
  defp valid?(:methods, nil), do: true
  defp valid?(:methods, value), do: is_list(value) and Enum.all?(value, &is_binary/1)
  defp valid?(:max_body, value), do: is_integer(value) and value >= 0
  defp valid?(:reuse, value), do: is_integer(value) and value in 0..1_000

  defp valid?(key, value) when key in [:max_output, :max_memory],
    do: is_integer(value) and value > 0

  defp valid?(_key, _value), do: true

  defp expected(:timeout), do: "milliseconds above 0"
  defp expected(:convention), do: "one of #{inspect(Convention.names())}, or nil to find it out"
  defp expected(:methods), do: "a list of methods such as [\"GET\"], or nil for all"
  defp expected(:reuse), do: "a number of instances between 0 and 1000"
  defp expected(_bytes), do: "a number of bytes"
end
