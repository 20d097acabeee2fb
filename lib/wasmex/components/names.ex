defmodule Wasmex.Components.Names do
  @moduledoc false
  # Finds a function of a component by its full name, or by a unique part of it.
  # `ns:pkg/calc@1.0.0.add` is also `ns:pkg/calc.add`, `calc.add` and `add`; `#` may stand for the dot.

  alias Wasmex.Components.Component
  alias Wasmex.Error

  @doc "Returns the full name of the function, and the types of its parameters and results."
  @spec find(%{String.t() => Component.item()}, String.t()) ::
          {:ok, {String.t(), [term()], [term()]}} | {:error, String.t()}
  def find(exports, name) do
    functions = functions(exports)
    normalized = String.replace(name, "#", ".")
    exact = for {^normalized, type} <- functions, do: {normalized, type}

    found =
      if exact == [], do: Enum.filter(functions, &(normalized in short(elem(&1, 0)))), else: exact

    case found do
      [{full, {:func, params, result}}] ->
        {:ok, {full, Enum.map(params, &elem(&1, 1)), List.wrap(result)}}

      [] ->
        details = %{kind: :func, name: name, names: Enum.map(functions, &elem(&1, 0))}
        {:error, Exception.message(%Error{reason: :unknown_export, details: details})}

      several ->
        {:error,
         "#{inspect(name)} is the name of several functions: #{Enum.map_join(several, ", ", &elem(&1, 0))}"}
    end
  end

  defp functions(exports) do
    Enum.sort(
      for {name, item} <- exports, function <- functions(name, item) do
        function
      end
    )
  end

  defp functions(name, {:func, _, _} = type), do: [{name, type}]

  defp functions(interface, {:instance, items}),
    do: for({name, {:func, _, _} = type} <- items, do: {"#{interface}.#{name}", type})

  defp functions(_name, _item), do: []

  defp short(full) do
    case Regex.run(~r/\A(.*\/)([^@]*)(@[^\[]*?)?\.([^.]*)\z/, full) do
      [_, package, interface, _version, function] ->
        [function, "#{interface}.#{function}", "#{package}#{interface}.#{function}"]

      nil ->
        []
    end
  end
end
