defmodule Wasmex.Components.Bindgen.Spec do
  @moduledoc false
  # Converts WIT types to Elixir types.

  alias Wasmex.Components.Bindgen.Names

  @doc "The quoted type. `place` is a function from the interface and name of a named type to its quoted type."
  @spec type(term(), (String.t() | nil, String.t() -> Macro.t())) :: Macro.t()
  def type(type, place)

  def type(:bool, _), do: quote(do: boolean())
  def type(t, _) when t in [:u8, :u16, :u32, :u64], do: quote(do: non_neg_integer())
  def type(t, _) when t in [:s8, :s16, :s32, :s64], do: quote(do: integer())

  def type(t, _) when t in [:f32, :f64],
    do: quote(do: number() | :nan | :infinity | :neg_infinity)

  def type(:char, _), do: quote(do: String.t())
  def type(:string, _), do: quote(do: String.t())
  def type({:list, :u8}, _), do: quote(do: binary() | [byte()])
  def type({:list, type}, place), do: [type(type, place)]
  def type({:list, type, _length}, place), do: [type(type, place)]

  def type({:map, key, value}, place),
    do: quote(do: %{optional(unquote(type(key, place))) => unquote(type(value, place))})

  def type({:tuple, types}, place), do: {:{}, [], Enum.map(types, &type(&1, place))}
  def type({:option, type}, place), do: quote(do: :none | {:some, unquote(type(type, place))})
  def type({:result, nil, nil}, _), do: quote(do: :ok | :error)

  def type({:result, ok, error}, place),
    do: quote(do: unquote(outcome(:ok, ok, place)) | unquote(outcome(:error, error, place)))

  def type({:record, fields}, place),
    do:
      {:%{}, [],
       Enum.map(fields, fn {name, type, _} -> {Names.atom(name), type(type, place)} end)}

  def type({:variant, cases}, place) do
    cases
    |> Enum.map(fn {name, payload, _} -> outcome(Names.atom(name), payload, place) end)
    |> union()
  end

  def type({:enum, names}, _), do: names |> Enum.map(&Names.atom/1) |> union()

  def type({:flags, names}, _) do
    {:%{}, [],
     Enum.map(names, fn name ->
       {quote(do: optional(unquote(Names.atom(name)))), quote(do: boolean())}
     end)}
  end

  def type({:alias, type}, place), do: type(type, place)
  def type({kind, type}, place) when kind in [:own, :borrow], do: type(type, place)
  def type(:resource, _), do: quote(do: Wasmex.Components.GuestResource.t())
  def type({:named, interface, name}, place), do: place.(interface, name)
  def type(_unsupported, _), do: quote(do: term())

  defp outcome(tag, nil, _place), do: tag
  defp outcome(tag, type, place), do: {tag, type(type, place)}

  defp union([]), do: quote(do: no_return())

  defp union(types),
    do: types |> Enum.reverse() |> Enum.reduce(&quote(do: unquote(&1) | unquote(&2)))
end
