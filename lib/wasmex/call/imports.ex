defmodule Wasmex.Call.Imports do
  @moduledoc false
  # Converts a map of imports for the NIF: declarations in order, and the Elixir functions as a tuple of
  # `{function, namespace, name}`.
  #
  #     %{"env" => %{"add" => {:fn, [:i32, :i32], [:i32], fun}, "memory" => %Wasmex.Memory{}}}

  alias Wasmex.Call.Functions
  alias Wasmex.{Error, Func, Global, Memory, Options, Printable, Table, Tag, Utils}

  @types [:i32, :i64, :f32, :f64, :v128] ++
           [:externref, :funcref, :anyref, :eqref, :i31ref, :structref, :arrayref, :exnref]

  @doc """
  Raises for invalid imports. A function whose arity does not match its types is invalid, too; with `:any_arity` only
  calling it fails, as in Wasmex 0.15.
  """
  @spec prepare(map(), :exact_arity | :any_arity) ::
          {[{String.t(), String.t(), tuple()}], tuple() | {:large, tuple()}}
  def prepare(imports, arity \\ :exact_arity)

  def prepare(imports, arity) when is_map(imports) and not is_struct(imports) do
    entries =
      for {namespace, definitions} <- imports,
          namespace = Utils.stringify(namespace),
          {name, definition} <- namespace!(namespace, definitions),
          do: entry(namespace, Utils.stringify(name), definition, arity)

    functions =
      for {{namespace, name, _type}, function} <- entries,
          function != nil,
          do: {function, namespace, name}

    {Enum.map(entries, &elem(&1, 0)), Functions.table(functions)}
  end

  def prepare(other, _arity), do: Options.misuse!("imports as a map of namespaces", other)

  defp namespace!(_namespace, definitions)
       when is_map(definitions) and not is_struct(definitions),
       do: definitions

  defp namespace!(namespace, other),
    do: Options.misuse!("imports of namespace #{inspect(namespace)} as a map of names", other)

  defp entry(namespace, name, {:fn, params, results, function} = definition, arity)
       when is_function(function) do
    types!(namespace, name, params, definition)
    types!(namespace, name, results, definition)

    if arity == :exact_arity and not is_function(function, length(params) + 1) do
      takes = function |> Function.info(:arity) |> elem(1)

      fail(
        namespace,
        name,
        "the function must take the context and #{length(params)} parameters, but it takes #{takes}",
        definition
      )
    end

    {{namespace, name, {:fn, params, results}}, function(function, results, arity)}
  end

  defp entry(namespace, name, %module{resource: resource} = definition, _arity)
       when module in [Memory, Table, Global, Func, Tag] do
    if is_reference(resource),
      do: {{namespace, name, {:extern, resource}}, nil},
      else: fail(namespace, name, "the handle is empty", definition)
  end

  defp entry(namespace, name, definition, _arity),
    do:
      fail(
        namespace,
        name,
        "expected {:fn, param_types, result_types, function} or a memory, table, global, function or tag",
        definition
      )

  @doc "Adds the names of the declarations to the error of a missing import, for its message."
  @spec given(Exception.t(), [{String.t(), String.t(), tuple()}]) :: Exception.t()
  def given(%Error{reason: :missing_import, details: details} = error, declarations) do
    names = for {namespace, name, _type} <- declarations, do: {namespace, name}
    %{error | details: Map.put(details, :given, names)}
  end

  def given(error, _declarations), do: error

  # Wasmex 0.15 has signed integers only, also as results.
  defp function(function, results, :any_arity) do
    if :i32 in results or :i64 in results,
      do: {:signed, function, results},
      else: function
  end

  defp function(function, _results, :exact_arity), do: function

  # `length/1` raises for an improper list.
  defp types!(namespace, name, types, definition) do
    unless is_list(types) and List.improper?(types) == false,
      do: fail(namespace, name, "expected a list of types, got #{inspect(types)}", definition)

    for type <- types, type not in @types do
      message = "unknown type #{inspect(type)}; the types are #{inspect(@types)}"
      fail(namespace, name, message, definition)
    end
  end

  @spec fail(String.t(), String.t(), String.t(), term()) :: no_return()
  defp fail(namespace, name, message, definition),
    do:
      raise(
        ArgumentError,
        "import #{Printable.name(namespace)}.#{Printable.name(name)}: #{message}; got: #{inspect(definition)}"
      )
end
