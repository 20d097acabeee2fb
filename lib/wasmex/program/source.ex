defmodule Wasmex.Program.Source do
  @moduledoc false
  # Loads a program from a path, bytes, a module or a template, ready to be instantiated.

  alias Wasmex.{Bytes, Cache, Code, Compiler, Components, Engine, Error, Module, StoreOrCaller}
  alias Wasmex.Template
  alias Wasmex.Components.Component
  alias Wasmex.Program.{Compiled, Kind, Options, Sink}

  # `module` is a `Wasmex.Module` or a component; nil if there is only an `instance`.
  @enforce_keys [:module, :name]
  defstruct module: nil,
            # The `Wasmex.Program.Kind` of the module.
            kind: nil,
            # nil if the imports of this run must be resolved first.
            template: nil,
            # argv[0], and the name in logs and profiles.
            name: nil,
            # The instance to use, or nil for a new one.
            instance: nil,
            # Whether to return the instance of a successful run, for reuse.
            keep?: false,
            # The options for WASI preview 1 in native form, if they were validated before: only arguments, variables and
            # streams are those of the run.
            wasi: nil

  @typedoc "A store with an instance, and its error stream."
  @type instance :: {StoreOrCaller.t(), reference(), Sink.t()}

  @type t :: %__MODULE__{
          module: Compiled.t() | nil,
          kind: module() | nil,
          template: Kind.template() | nil,
          name: String.t(),
          instance: instance() | nil,
          keep?: boolean(),
          wasi: %{atom() => term()} | nil
        }

  @doc "Creates a source from a compiled program."
  @spec of(Compiled.t()) :: t()
  def of(compiled) do
    kind = Compiled.kind(compiled)
    %__MODULE__{module: compiled, kind: kind, name: kind.name(compiled)}
  end

  @doc """
  Loads a program. `options` are `Wasmex.Program.Options`, with the engine for paths and bytes, and the imports.
  """
  @spec resolve(term(), Options.t()) :: {:ok, t()} | {:error, Exception.t()}
  def resolve(%__MODULE__{template: template, instance: instance} = source, _options)
      when template != nil or instance != nil,
      do: {:ok, source}

  def resolve(program, options) do
    with {:ok, source} <- load(program, options),
         :ok <- source.kind.supported(options),
         :ok <- check(source, options),
         do: link(source, options)
  end

  @doc "The same for bytes, whatever they look like, and the name of the program."
  @spec resolve_bytes(binary(), String.t(), Options.t()) :: {:ok, t()} | {:error, Exception.t()}
  def resolve_bytes(bytes, name, options) do
    with {:ok, compiled} <-
           Compiled.compile(bytes, engine(options), Compiler.Options.from!(options)),
         do: resolve(%{of(compiled) | name: name}, options)
  end

  defp load(%__MODULE__{} = source, _options), do: {:ok, source}

  defp load(%Module{resource: resource} = module, _options) when is_reference(resource),
    do: {:ok, of(module)}

  defp load(%Component{} = component, _options), do: {:ok, of(component)}

  defp load(%Code{name: name} = code, _options) do
    with {:ok, compiled} <- Code.compiled(code), do: {:ok, %{of(compiled) | name: name}}
  end

  defp load(%Components.Template{} = template, options) do
    resolved!(options)
    {:ok, %{of(Components.Template.component(template)) | template: template}}
  end

  defp load(%Template{resource: resource} = template, options) when is_reference(resource) do
    resolved!(options)
    {:ok, %{of(Template.module(template)) | template: template}}
  end

  defp load(program, options) when is_binary(program) do
    if Bytes.code?(program),
      do:
        with(
          {:ok, module} <-
            Compiled.compile(program, engine(options), Compiler.Options.from!(options)),
          do: load(module, options)
        ),
      else: file(program, options)
  end

  defp load(other, _options) do
    Wasmex.Options.misuse!(
      "a program: a path, wasm bytes or WAT, a Wasmex.Code, a module, a component or a template of one",
      other
    )
  end

  defp resolved!(options) do
    for {option, true} <- [
          imports: options.imports != %{},
          links: options.links != %{},
          trace: options.trace != nil
        ] do
      raise ArgumentError,
            "#{option}: has no effect on a template, whose imports are resolved already; run the module instead"
    end
  end

  defp engine(%{engine: %Engine{} = engine}), do: engine
  defp engine(options), do: Engine.shared(settings(options))

  defp settings(options) do
    for {setting, true} <- [consume_fuel: options.fuel != nil, core_dump: options.core_dump],
        do: {setting, true}
  end

  defp file(path, options) do
    engine = engine(options)
    name = Path.basename(path)
    compiler = Compiler.Options.from!(options)
    plain? = options.imports == %{} and options.links == %{} and options.trace == nil

    # The cached program has resolved imports if it only imports WASI.
    load = fn bytes ->
      with {:ok, module} <- Compiled.compile(bytes, engine, compiler) do
        source = of(module)
        template = if plain?, do: resolved(source)
        {:ok, %{source | template: template, name: name}}
      end
    end

    Cache.fetch(path, {Engine.resource(engine), plain?}, load)
  end

  defp resolved(source) do
    case source.kind.link(source.module, %{}, false) do
      {:ok, template} -> known(template, source)
      # The error is reported when it is linked for a run.
      {:error, _} -> nil
    end
  end

  # It is kept for many runs.
  defp known(%Template{} = template, %{module: module, kind: kind}),
    do: %{template | program?: kind.program?(module) == :ok}

  defp known(template, _source), do: template

  defp check(_source, %{entry: entry, invoke: invoke}) when entry != nil or invoke != nil, do: :ok

  defp check(%{template: %Template{program?: true}}, _options), do: :ok

  defp check(%{module: module, kind: kind, name: name}, _options) do
    with {:not, what, calls} <- kind.program?(module),
         do: {:error, no_program(module, name, what, calls)}
  end

  defp no_program(module, name, what, calls) do
    exports = calls |> Enum.take(10) |> Enum.map_join(", ", &inspect/1)
    caller = if is_struct(module, Component), do: "Wasmex.Components", else: "Wasmex"
    hint = if calls != [], do: "; call its functions with #{caller}.Instance.call/4: #{exports}"

    message = "#{name} is not a program: it is #{what}#{hint}"
    %Error{reason: :not_a_program, details: %{path: name, message: message, functions: calls}}
  end

  defp link(%{template: template} = source, _options) when template != nil, do: {:ok, source}

  # Linked modules are instantiated first, in the store of the run.
  defp link(source, %{links: links}) when links != %{}, do: {:ok, source}

  defp link(source, options) do
    with {:ok, template} <-
           source.kind.link(source.module, options.imports, options.trace != nil),
         do: {:ok, %{source | template: template}}
  end
end
