defmodule Wasmex.Program.Source do
  @moduledoc false
  # What is to be run, ready to be instantiated: from a path, bytes, a module or a template.

  alias Wasmex.{Artefact, Engine, Error, Linker, Module, Native, Template}
  alias Wasmex.Program.Cache

  @enforce_keys [:module, :name]
  defstruct module: nil,
            # nil when the imports of this run have to be resolved first.
            template: nil,
            # argv[0], and the name in logs and profiles.
            name: nil

  @type t :: %__MODULE__{module: Module.t(), template: Template.t() | nil, name: String.t()}

  @wasm <<0, "asm">>

  @doc """
  `options` are `Wasmex.Program.Options`: they say which engine a path or bytes are compiled for, and
  what the program may import.
  """
  def resolve(%__MODULE__{template: %Template{}} = source, _options), do: {:ok, source}

  def resolve(program, options) do
    with {:ok, source} <- load(program, options),
         :ok <- check(source, options),
         do: link(source, options)
  end

  defp load(%__MODULE__{} = source, _options), do: {:ok, source}

  defp load(%Module{resource: resource} = module, _options) when is_reference(resource),
    do: {:ok, %__MODULE__{module: module, name: Module.name(module) || "program"}}

  defp load(%Template{resource: resource} = template, options) when is_reference(resource) do
    for {option, true} <- [
          imports: options.imports != %{},
          links: options.links != %{},
          trace: options.trace != nil
        ] do
      raise ArgumentError,
            "#{option}: does nothing to a template, whose imports are resolved; run the module"
    end

    module = Template.module(template)
    name = Module.name(module) || "program"
    {:ok, %__MODULE__{module: module, template: template, name: name}}
  end

  defp load(program, options) when is_binary(program) do
    if bytes?(program),
      do: with({:ok, module} <- compile(program, engine(options)), do: load(module, options)),
      else: file(program, options)
  end

  defp load(other, _options),
    do:
      raise(
        ArgumentError,
        "a program is a path, wasm bytes or WAT, a %Wasmex.Module{} or a %Wasmex.Template{}, got: #{inspect(other)}"
      )

  # A path is neither wasm nor an artefact, and no WAT, which opens with a parenthesis or a comment.
  defp bytes?(@wasm <> _), do: true
  defp bytes?(bytes), do: Artefact.artefact?(bytes) or String.match?(bytes, ~r/\A\s*(\(|;;)/)

  defp engine(%{engine: %Engine{} = engine}), do: engine
  defp engine(options), do: Engine.shared(settings(options))

  defp settings(options) do
    for {setting, true} <- [consume_fuel: options.fuel != nil, core_dump: options.core_dump],
        do: {setting, true}
  end

  defp file(path, options) do
    engine = engine(options)
    name = Path.basename(path)
    plain? = options.imports == %{} and options.links == %{} and options.trace == nil

    # What is remembered has its imports resolved, when all of them are WASI's.
    load = fn bytes ->
      with {:ok, module} <- compile(bytes, engine) do
        template = if plain?, do: resolved(module)
        {:ok, %__MODULE__{module: module, template: template, name: name}}
      end
    end

    Cache.fetch(path, {Engine.resource(engine), plain?}, load)
  end

  defp resolved(module) do
    case Linker.new() |> Linker.allow_wasi() |> Linker.instantiate_pre(module) do
      {:ok, template} -> template
      # Said when it is linked for a run.
      {:error, _} -> nil
    end
  end

  @doc "Bytes to a module: wasm, WAT, or an artefact, which is verified."
  def compile(bytes, engine) do
    if Artefact.artefact?(bytes),
      do: Module.deserialize(bytes, engine),
      else: Module.make(Engine.resource(engine), bytes)
  end

  defp check(_source, %{invoke: {_name, _params}}), do: :ok

  defp check(%{module: module, name: name}, _options) do
    case Native.module_exports(module.resource) |> List.keyfind("_start", 0) do
      {"_start", {:fn, [], []}} -> :ok
      _ -> {:error, no_program(module, name)}
    end
  end

  defp no_program(module, name) do
    functions = for {name, {:fn, _, _}} <- Native.module_exports(module.resource), do: name

    what =
      cond do
        "_initialize" in functions -> "a reactor, a library of functions"
        functions == [] -> "a module without any exported function"
        true -> "a library of functions"
      end

    calls = functions -- ["_initialize"]
    exports = calls |> Enum.take(10) |> Enum.map_join(", ", &inspect/1)
    hint = if calls != [], do: "; call its functions with Wasmex.Instance.call/4: #{exports}"

    message = "#{name} is no program: it exports no function _start, so it is #{what}#{hint}"
    %Error{reason: :not_a_program, details: %{path: name, message: message, functions: calls}}
  end

  defp link(%{template: %Template{}} = source, _options), do: {:ok, source}

  # Modules that are linked are instantiated first, in the store of the run.
  defp link(source, %{links: links}) when links != %{}, do: {:ok, source}

  defp link(source, options) do
    linker = %Linker{imports: options.imports, wasi: if(options.trace, do: :traced, else: true)}

    with {:ok, template} <- Linker.instantiate_pre(linker, source.module),
         do: {:ok, %{source | template: template}}
  end
end
