defmodule Wasmex.Components.Bindgen.Extent do
  @moduledoc false
  # Limits what is generated from a world, which may be that of somebody else's component: a component of 100 KB can have
  # functions, or types within types, for which the Elixir compiler takes hours and all memory.

  alias Wasmex.Components.Bindgen.Names

  # Measured on Elixir 1.14: 1,000 functions take about as much as 300 modules, 2,000 types or 10,000 fields, and 300 MB.
  @module 30
  @function 10
  @type_definition 5
  @most 30_000

  # Generated functions have two more.
  @params 253

  @doc "Raises if there is too much in the world."
  @spec check!(map(), boolean()) :: :ok
  def check!(world, structs?) do
    exports = world.exports |> Enum.map(&item(&1, structs?)) |> Enum.sum()

    imports =
      for item <- world.imports, not wasi?(item), reduce: 0, do: (sum -> sum + item(item, false))

    if exports + imports > @most do
      Names.fail(
        "the world #{world.name} is too large to generate modules from it: #{exports + imports} of at most #{@most}, " <>
          "where a function counts as #{@function}, an interface, a resource or a struct as #{@module}, a type as " <>
          "#{@type_definition}, and each part of it as 1; call it by the names of its functions instead, see Wasmex.Components"
      )
    end

    :ok
  end

  defp wasi?({:interface, "wasi:" <> _, _}), do: true
  defp wasi?(_item), do: false

  defp item({:func, _name, function}, _structs?), do: function(function)
  defp item({:type, _name, %{type: type}}, _structs?), do: @type_definition + parts(type)

  defp item({:interface, _name, interface}, structs?) do
    types = for {_name, %{type: type}} <- interface.types, do: parts(type) + own(type, structs?)
    @module + Enum.sum(types) + (interface.functions |> Enum.map(&function/1) |> Enum.sum())
  end

  defp own(:resource, _structs?), do: @module
  defp own({:record, _fields}, true), do: @module
  defp own(_type, _structs?), do: @type_definition

  defp function(%{params: params} = function) do
    if length(params) > @params,
      do:
        Names.fail(
          "the function #{function.name} of the WIT has #{length(params)} parameters: a function of Elixir has at most 255"
        )

    @function + parts(Enum.map(params, &elem(&1, 1))) + parts(function.result)
  end

  # Nameless types are written out each time they are used.
  defp parts({:named, _interface, _name}), do: 1

  defp parts({kind, items}) when kind in [:record, :variant],
    do: 1 + (items |> Enum.map(&(1 + parts(elem(&1, 1)))) |> Enum.sum())

  defp parts({kind, names}) when kind in [:enum, :flags], do: 1 + length(names)
  defp parts(list) when is_list(list), do: list |> Enum.map(&parts/1) |> Enum.sum()
  defp parts(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> parts()
  defp parts(nil), do: 0
  defp parts(_simple), do: 1
end
