defmodule Wasmex.Call.Imports do
  @moduledoc false
  # A map of imports as the NIF takes it: declarations in order, and the Elixir functions as a tuple of
  # `{function, namespace, name}`.
  #
  #     %{"env" => %{"add" => {:fn, [:i32, :i32], [:i32], fun}, "memory" => %Wasmex.Memory{}}}

  alias Wasmex.{Func, Global, Memory, Table, Tag, Utils}

  @types [:i32, :i64, :f32, :f64, :v128] ++
           [:externref, :funcref, :anyref, :eqref, :i31ref, :structref, :arrayref, :exnref]

  @spec prepare(map()) :: {[{String.t(), String.t(), tuple()}], tuple()}
  def prepare(imports) when is_map(imports) and not is_struct(imports) do
    entries =
      for {namespace, definitions} <- imports,
          {name, definition} <- namespace!(namespace, definitions),
          do: entry(Utils.stringify(namespace), Utils.stringify(name), definition)

    functions =
      for {{namespace, name, _type}, function} <- entries,
          function != nil,
          do: {function, namespace, name}

    {Enum.map(entries, &elem(&1, 0)), List.to_tuple(functions)}
  end

  def prepare(other),
    do: raise(ArgumentError, "imports must be a map of namespaces, got: #{inspect(other)}")

  defp namespace!(_namespace, definitions)
       when is_map(definitions) and not is_struct(definitions),
       do: definitions

  defp namespace!(namespace, other),
    do:
      raise(
        ArgumentError,
        "imports of namespace #{inspect(namespace)} must be a map of names, got: #{inspect(other)}"
      )

  defp entry(namespace, name, {:fn, params, results, function} = definition)
       when is_list(params) and is_list(results) and is_function(function) do
    for type <- params ++ results, type not in @types do
      fail(
        namespace,
        name,
        "unknown type #{inspect(type)}; the types are #{inspect(@types)}",
        definition
      )
    end

    unless is_function(function, length(params) + 1) do
      arity = function |> Function.info(:arity) |> elem(1)

      fail(
        namespace,
        name,
        "the function must take the context and #{length(params)} parameters, but it takes #{arity}",
        definition
      )
    end

    {{namespace, name, {:fn, params, results}}, function}
  end

  defp entry(namespace, name, %module{resource: resource} = definition)
       when module in [Memory, Table, Global, Func, Tag] do
    if is_reference(resource),
      do: {{namespace, name, {:extern, resource}}, nil},
      else: fail(namespace, name, "the handle is empty", definition)
  end

  defp entry(namespace, name, definition),
    do:
      fail(
        namespace,
        name,
        "expected {:fn, param_types, result_types, function} or a memory, table, global, function or tag",
        definition
      )

  @spec fail(String.t(), String.t(), String.t(), term()) :: no_return()
  defp fail(namespace, name, message, definition),
    do:
      raise(
        ArgumentError,
        "import #{namespace}.#{name}: #{message}; got: #{inspect(definition)}"
      )
end
