defmodule Wasmex.Components.Bindgen.Structs do
  @moduledoc false
  # Converts records to structs, for generated modules with `structs: true`. The argument is `{type, modules}`, with the type
  # of the result and its named records, or nil.

  @doc "Converts the records in a result."
  @spec to(term(), {term(), map()} | nil) :: term()
  def to(value, nil), do: value
  def to(value, {type, types}), do: convert(value, type, types)

  defp convert(value, {:named, interface, name}, types) do
    case types do
      %{{^interface, ^name} => {module, {:record, fields}}} ->
        struct(module, fields(value, fields, types))

      %{{^interface, ^name} => {_none, type}} ->
        convert(value, type, types)

      _ ->
        value
    end
  end

  defp convert(value, {:record, fields}, types), do: fields(value, fields, types)
  defp convert(value, {:alias, type}, types), do: convert(value, type, types)
  defp convert(value, {:list, :u8}, _types), do: value

  defp convert(list, {:list, type}, types) when is_list(list),
    do: Enum.map(list, &convert(&1, type, types))

  defp convert(list, {:list, type, _length}, types) when is_list(list),
    do: Enum.map(list, &convert(&1, type, types))

  defp convert(map, {:map, key, value}, types) when is_map(map),
    do: Map.new(map, fn {k, v} -> {convert(k, key, types), convert(v, value, types)} end)

  defp convert({:some, value}, {:option, type}, types), do: {:some, convert(value, type, types)}

  defp convert({:ok, value}, {:result, type, _}, types) when type != nil,
    do: {:ok, convert(value, type, types)}

  defp convert({:error, value}, {:result, _, type}, types) when type != nil,
    do: {:error, convert(value, type, types)}

  defp convert(value, {:tuple, list}, types) when is_tuple(value) do
    value
    |> Tuple.to_list()
    |> Enum.zip(list)
    |> Enum.map(fn {value, type} -> convert(value, type, types) end)
    |> List.to_tuple()
  end

  defp convert({tag, payload}, {:variant, cases}, types) do
    case List.keyfind(cases, tag, 0) do
      {_, type, _} when type != nil -> {tag, convert(payload, type, types)}
      _ -> {tag, payload}
    end
  end

  defp convert(value, _type, _types), do: value

  defp fields(value, fields, types) do
    Map.new(fields, fn {name, type, _docs} ->
      {name, convert(Map.fetch!(value, name), type, types)}
    end)
  end
end
