defmodule Wasmex.Program.Kind.Component do
  @moduledoc false
  # Programs that are WASI 0.2 components.

  @behaviour Wasmex.Program.Kind

  alias Wasmex.{Components, Engine, Error, Native}
  alias Wasmex.Components.{Component, Names, ValueFormat}
  alias Wasmex.Program.{Entry, Options}

  # A patch version follows.
  @run "wasi:cli/run@0.2"

  @impl true
  defdelegate serialize(component), to: Component

  @impl true
  def function(%Component{} = component, name),
    do: component |> Component.exports() |> Names.find(name)

  @impl true
  def engine(%Component{resource: resource}),
    do: %Engine{resource: Native.component_engine(resource)}

  @impl true
  def name(_component), do: "component"

  @impl true
  def program?(%Component{} = component) do
    if Component.interface(component, @run) do
      :ok
    else
      functions = for {name, {:func, _, _}} <- Component.exports(component), do: name
      {:not, "a component that does not export #{@run}", functions}
    end
  end

  @impl true
  def link(_component, _imports, true), do: unsupported("trace: requires a module")
  def link(component, imports, false), do: Components.Template.new(component, imports)

  @impl true
  def supported(options) do
    cond do
      options.links != %{} -> unsupported("links: requires a module")
      match?({_, _, _}, options.invoke) -> unsupported("options in invoke: require a module")
      options.profile -> unsupported("profile: requires a module")
      true -> :ok
    end
  end

  defp unsupported(why),
    do:
      {:error,
       %Error{reason: :unsupported, details: %{message: "#{why}; this program is a component"}}}

  @impl true
  defdelegate wasi(options, argv, pipes), to: Options, as: :preview2

  @impl true
  def instantiation(store, _component, %Components.Template{resource: template}, _options),
    do: fn -> Native.component_instantiate(store, template, nil, nil) end

  @impl true
  def entry(component, nil) do
    path = [Component.interface(component, @run), "run"]
    %Entry{begin: begin(path, []), complete: &status/2}
  end

  def entry(_component, {name, params}),
    do: %Entry{begin: begin(Components.Path.parse(name), params), complete: &Entry.results/2}

  defp begin(path, params) do
    fn instance, _pipes ->
      {nil,
       fn -> Native.component_call(instance, path, params, ValueFormat.direct(), nil, nil) end}
    end
  end

  # `wasi:cli/run` returns a `result`, so there are two statuses.
  defp status([:error], run), do: %{run | status: 1}
  defp status(_ok, run), do: %{run | status: 0}
end
