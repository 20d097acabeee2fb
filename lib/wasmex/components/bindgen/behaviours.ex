defmodule Wasmex.Components.Bindgen.Behaviours do
  @moduledoc false
  # Behaviours for the imports of a component.

  import Wasmex.Components.Bindgen.Context

  alias Wasmex.Components.Bindgen.{Functions, Names, Spec, Types}
  alias Wasmex.WIT

  # The functions to implement: `[{interface | nil, [{wit, name, arity}]}]`, without WASI and resources.
  @spec imported(Wasmex.Components.Bindgen.Context.t()) :: [
          {String.t() | nil, [{String.t(), atom(), arity()}]}
        ]
  def imported(context) do
    root = for {:func, _, function} <- context.world.imports, do: callback(function)

    interfaces =
      for {:interface, name, interface} <- context.world.imports,
          not String.starts_with?(name, "wasi:"),
          free = Enum.filter(interface.functions, &(&1.kind == :func)),
          free != [],
          do: {name, Enum.map(free, &callback/1)}

    if root == [], do: interfaces, else: [{nil, root} | interfaces]
  end

  defp callback(function),
    do: {function.name, name(function), length(function.params)}

  defp name(function),
    do: function |> WIT.function_name() |> Names.function() |> Names.identifier()

  @doc "The quoted modules."
  @spec modules(Wasmex.Components.Bindgen.Context.t()) :: [Macro.t()]
  def modules(context) do
    root = for {:func, _, function} <- context.world.imports, do: function

    behaviours =
      for {:interface, name, interface} <- context.world.imports,
          not String.starts_with?(name, "wasi:") do
        free = Enum.filter(interface.functions, &(&1.kind == :func))
        module = context.interfaces[{:imports, name}]
        same? = Map.has_key?(context.interfaces, {:exports, name})
        behaviour(module, name, if(same?, do: [], else: interface.types), free, context)
      end

    case {root, behaviours} do
      {[], []} ->
        []

      {[], behaviours} ->
        behaviours

      {root, behaviours} ->
        [
          behaviour(Names.module(context.module, "imports"), "the world", [], root, context)
          | behaviours
        ]
    end
  end

  defp behaviour(module, name, types, functions, context) do
    quote do
      defmodule unquote(module) do
        @moduledoc unquote("The imports of the component from #{name}.")
        unquote_splicing(Types.types(types, %{context | structs?: false}, name))
        unquote_splicing(Enum.map(functions, &callback_spec(&1, context)))
      end
    end
  end

  defp callback_spec(function, context) do
    {_args, types} = Functions.args(function.params, context)
    name = name(function)

    result =
      if function.result,
        do: Spec.type(function.result, &place(&1, &2, context)),
        else: quote(do: term())

    quote do
      @doc unquote(function.docs || "`#{function.name}`")
      @callback unquote(name)(unquote_splicing(types)) :: unquote(result)
    end
  end
end
