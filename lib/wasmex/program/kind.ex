defmodule Wasmex.Program.Kind do
  @moduledoc false
  # What differs between programs that are modules (WASI preview 1) and components (WASI 0.2): how they
  # are compiled, linked, instantiated and entered. Nobody else asks which of the two a program is.

  alias Wasmex.{Artefact, Engine, Error, Linker, Module, Native, Template}
  alias Wasmex.Call.Imports
  alias Wasmex.Components
  alias Wasmex.Components.{Component, Style}

  @type compiled :: Module.t() | Component.t()

  @component_run "wasi:cli/run@0.2"
  @component_http "wasi:http/incoming-handler@0.2"

  @doc "Bytes to a module or component: wasm, text, or an artefact, which is verified."
  @spec compile(binary(), Engine.t()) :: {:ok, compiled()} | {:error, Exception.t()}
  def compile(bytes, engine) do
    cond do
      Artefact.artefact?(bytes) -> artefact(bytes, engine)
      component?(bytes) -> Component.compile(engine, bytes)
      true -> Module.make(Engine.resource(engine), bytes)
    end
  end

  # What an artefact is of is known only to the engine that loads it.
  defp artefact(bytes, engine) do
    with {:error, error} <- Module.deserialize(bytes, engine) do
      case Component.deserialize(bytes, engine) do
        {:ok, component} -> {:ok, component}
        {:error, _} -> {:error, error}
      end
    end
  end

  defp component?(<<0, "asm", _version::16, layer::little-16, _::binary>>), do: layer != 0
  defp component?(<<0, "asm", _::binary>>), do: false
  defp component?(text), do: String.match?(text, ~r/\A\s*\(component\b/)

  @doc "The compiled program as bytes that are verified when they are loaded."
  @spec serialize(compiled()) :: {:ok, binary()} | {:error, String.t() | Exception.t()}
  def serialize(%Module{} = module), do: Module.serialize(module)
  def serialize(%Component{} = component), do: Component.serialize(component)

  @doc "The types of a function's parameters and how many it has; nil when there is none of that name."
  @spec params(compiled(), String.t()) :: [term()] | nil
  def params(%Module{} = module, name) do
    with {:fn, types, _results} <- Module.exports(module)[name], do: types, else: (_ -> nil)
  end

  def params(%Component{} = component, name) do
    found =
      case Components.Path.parse(name) do
        [name] ->
          Component.exports(component)[name]

        [interface, name] ->
          with {:instance, items} <- Component.exports(component)[interface], do: items[name]
      end

    with {:func, params, _result} <- found,
         do: Enum.map(params, &elem(&1, 1)),
         else: (_ -> nil)
  end

  @doc "What it was compiled for."
  def engine(%Module{resource: resource}), do: %Engine{resource: Native.module_engine(resource)}

  def engine(%Component{resource: resource}),
    do: %Engine{resource: Native.component_engine(resource)}

  @doc "Whether it is a program, and if not, what it is: `:ok` or `{:not, what, functions}`."
  def program?(%Module{resource: resource}) do
    exports = Native.module_exports(resource)

    if match?({"_start", {:fn, [], []}}, List.keyfind(exports, "_start", 0)) do
      :ok
    else
      functions = for {name, {:fn, _, _}} <- exports, do: name
      {:not, module(functions), functions -- ["_initialize"]}
    end
  end

  def program?(%Component{} = component) do
    exports = Component.exports(component)

    if entry(component) do
      :ok
    else
      functions = for {name, {:func, _, _}} <- exports, do: name
      {:not, "a component that exports no #{@component_run}", functions}
    end
  end

  defp module(functions) do
    prefix = "a module that exports no function _start, so it is "

    cond do
      "_initialize" in functions -> prefix <> "a reactor, a library of functions"
      functions == [] -> "a module without any exported function"
      true -> prefix <> "a library of functions"
    end
  end

  defp entry(component), do: interface(component, @component_run)

  defp interface(component, prefix) do
    component
    |> Component.exports()
    |> Map.keys()
    |> Enum.find(&String.starts_with?(&1, prefix))
  end

  @doc "Whether it is a component that answers requests."
  def http?(%Component{} = component), do: interface(component, @component_http) != nil
  def http?(_module), do: false

  @doc "Resolves its imports: WASI's, and those that are given."
  def link(compiled, imports, traced?)

  def link(%Module{} = module, imports, traced?),
    do:
      Linker.instantiate_pre(
        %Linker{imports: imports, wasi: if(traced?, do: :traced, else: true)},
        module
      )

  def link(%Component{}, _imports, true), do: unsupported("trace: is for modules")

  def link(%Component{} = component, imports, false),
    do: Components.Template.new(component, imports)

  @doc "What it can't do that was asked for."
  def supported(%Component{}, options) do
    cond do
      options.links != %{} -> unsupported("links: are for modules")
      options.profile -> unsupported("profile: is for modules")
      true -> :ok
    end
  end

  def supported(_module, _options), do: :ok

  defp unsupported(why),
    do:
      {:error,
       %Error{reason: :unsupported, details: %{message: "#{why}; this program is a component"}}}

  @doc "A function that makes an instance: the first step of a call."
  def instantiation(store, compiled, template, options)

  def instantiation(store, _compiled, %Template{resource: template}, _options),
    do: fn -> Native.instance_from_template(store, template, nil, nil) end

  def instantiation(store, _compiled, %Components.Template{resource: template}, _options),
    do: fn -> Native.component_instantiate(store, template, nil, nil) end

  def instantiation(store, %Module{resource: module}, nil, options) do
    {declarations, functions} = Imports.prepare(options.imports)
    links = for {name, %{resource: resource}} <- options.links, do: {name, resource}
    fn -> Native.instance_new(store, module, declarations, functions, links, nil) end
  end

  @doc """
  `{instance, begin}`: the instance as imported functions see it, and a function that begins what was
  asked for: the program itself, the function that `invoke:` names, or a request.
  """
  def entering(compiled, resource, invoke, pipes)

  def entering(_compiled, resource, {:http, head}, {stdin, stdout}),
    do: {nil, fn -> Native.component_handle_http(resource, head, stdin, stdout) end}

  def entering(%Module{}, resource, invoke, _pipes) do
    {function, params} = invoke || {"_start", []}

    {Wasmex.Instance.__wrap_resource__(resource),
     fn -> Native.instance_call(resource, function, params, nil, nil) end}
  end

  def entering(%Component{} = component, resource, invoke, _pipes) do
    {path, params} =
      case invoke do
        nil -> {[entry(component), "run"], []}
        {name, params} -> {Components.Path.parse(name), params}
      end

    {nil, fn -> Native.component_call(resource, path, params, Style.direct(), nil, nil) end}
  end

  @doc "The exit status that a program's own result stands for."
  def status([:error]), do: 1
  def status(_results), do: 0
end
