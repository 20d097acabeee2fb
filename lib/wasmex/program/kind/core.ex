defmodule Wasmex.Program.Kind.Core do
  @moduledoc false
  # Programs that are core modules with WASI preview 1.

  @behaviour Wasmex.Program.Kind

  alias Wasmex.{Engine, Error, Instance, Linker, Module, Native, Template}
  alias Wasmex.Call.{Context, Imports, Terms}
  alias Wasmex.Program.{Entry, Options}

  # Of `invoke: {function, params, options}`.
  @invoke Wasmex.Options.table(
            Keyword.delete(Wasmex.Options.Call.core(), :floats),
            "invoke: of Wasmex.run/3"
          )

  @impl true
  defdelegate serialize(module), to: Module

  @impl true
  def function(%Module{} = module, name) do
    exports = Module.exports(module)

    case exports[name] do
      {:fn, params, results} ->
        {:ok, {name, params, results}}

      _ ->
        names = for {name, {:fn, _, _}} <- exports, do: name
        details = %{kind: :func, name: name, names: Enum.sort(names)}
        {:error, Exception.message(%Error{reason: :unknown_export, details: details})}
    end
  end

  @impl true
  def engine(%Module{resource: resource}), do: %Engine{resource: Native.module_engine(resource)}

  @impl true
  def name(%Module{} = module), do: Module.name(module) || "program"

  @impl true
  def program?(%Module{resource: resource}) do
    exports = Native.module_exports(resource)

    functions = for {name, {:fn, _, _}} <- exports, do: name

    case List.keyfind(exports, "_start", 0) do
      {_, {:fn, [], []}} -> :ok
      {_, type} -> {:not, wrong_start(type), functions -- ["_start"]}
      nil -> {:not, described(functions), functions -- ["_initialize"]}
    end
  end

  defp wrong_start({:fn, params, results}) do
    [params, results] = for types <- [params, results], do: Enum.map_join(types, ", ", &type/1)

    "a module whose _start has the wrong type: it must have no parameters and no results, but is " <>
      "(#{params}) -> (#{results})"
  end

  defp wrong_start(type), do: "a module whose _start is not a function but a #{elem(type, 0)}"

  defp type({:reference, text}), do: text
  defp type(type), do: Atom.to_string(type)

  defp described(functions) do
    prefix = "a module without a function _start, so it is "

    cond do
      "_initialize" in functions -> prefix <> "a reactor, a library of functions"
      functions == [] -> "a module without any exported function"
      true -> prefix <> "a library of functions"
    end
  end

  @impl true
  def link(%Module{resource: module}, imports, traced?) do
    wasi = if traced?, do: :traced, else: true
    Linker.resolve(%Linker{imports: imports, wasi: wasi}, module)
  end

  @impl true
  def supported(_options), do: :ok

  @impl true
  def wasi(options, argv, pipes) do
    Options.refuse_http!(options)
    Options.preview1(options, argv, pipes)
  end

  @impl true
  def instantiation(store, _module, %Template{resource: template}, _options),
    do: fn -> Native.instance_from_template(store, template, nil, nil) end

  def instantiation(store, %Module{resource: module}, nil, options) do
    {declarations, functions} = Imports.prepare(options.imports)
    links = for {name, %{resource: resource}} <- options.links, do: {name, resource}
    fn -> Native.instance_new(store, module, declarations, functions, links, nil) end
  end

  @impl true
  def entry(_module, nil), do: %Entry{begin: begin("_start", [])}

  def entry(module, {function, params}), do: entry(module, {function, params, []})

  def entry(_module, {function, params, opts}) do
    case Terms.new(params, Wasmex.Options.new!(opts, @invoke)) do
      nil -> %Entry{begin: begin(function, params), complete: &Entry.results/2}
      terms -> %Entry{begin: begin_terms(function, terms), complete: &complete(&1, &2, terms)}
    end
  end

  defp begin_terms(function, terms) do
    fn instance, _pipes ->
      {Context.of(Instance.__wrap_resource__(instance)),
       Terms.begin(instance, function, terms, nil)}
    end
  end

  defp complete(results, run, terms) do
    case Terms.result({:ok, results}, terms) do
      {:ok, value} when terms.returns != nil -> Entry.results([value], run)
      {:ok, results} -> Entry.results(results, run)
      error -> error
    end
  end

  defp begin(function, params) do
    fn instance, _pipes ->
      {Context.of(Instance.__wrap_resource__(instance)),
       fn -> Native.instance_call(instance, function, params, nil, nil) end}
    end
  end
end
