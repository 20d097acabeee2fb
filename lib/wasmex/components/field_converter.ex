defmodule Wasmex.Components.FieldConverter do
  @moduledoc """
  Converts names between WIT (`"first-name"`) and Elixir (`:first_name`), at every level of a value.

  Only existing atoms are used: a component must not create atoms.

  ## Example

      iex> Wasmex.Components.FieldConverter.to_wit(:first_name)
      "first-name"
      iex> Wasmex.Components.FieldConverter.maybe_convert_args([%{first_name: "Ada", in: %{zip_code: :none}}], true)
      [%{"first-name" => "Ada", "in" => %{"zip-code" => :none}}]
      iex> _ = :first_name
      iex> Wasmex.Components.FieldConverter.maybe_convert_result({:ok, %{"first-name" => "Ada"}}, true)
      {:ok, %{first_name: "Ada"}}
  """

  @doc "Converts arguments for a guest. With `false`, returns them unchanged."
  @spec maybe_convert_args([term()], boolean()) :: [term()]
  def maybe_convert_args(args, true), do: Enum.map(args, &args/1)
  def maybe_convert_args(args, _), do: args

  @doc "Converts the result of a guest. With `false`, returns it unchanged."
  @spec maybe_convert_result(term(), boolean()) :: term()
  def maybe_convert_result({tag, result}, true) when tag in [:ok, :error],
    do: {tag, result(result)}

  def maybe_convert_result(result, _), do: result

  @doc "The WIT spelling of a name. Strings are returned unchanged."
  @spec to_wit(atom() | String.t()) :: String.t()
  def to_wit(name) when is_atom(name), do: name |> Atom.to_string() |> to_dashes()
  def to_wit(name) when is_binary(name), do: name

  defp to_dashes(name), do: String.replace(name, "_", "-")

  @doc "The Elixir spelling of a name: an atom if it exists, otherwise the string unchanged."
  @spec to_elixir(atom() | String.t()) :: atom() | String.t()
  def to_elixir(name) when is_atom(name), do: name |> Atom.to_string() |> atom(name)
  def to_elixir(name) when is_binary(name), do: atom(name, name)

  defp atom(text, otherwise) do
    text |> String.replace("-", "_") |> String.to_existing_atom()
  rescue
    ArgumentError -> otherwise
  end

  # Cases of variants may stay atoms: the native side accepts both spellings.
  defp args(%_{} = struct), do: struct |> Map.from_struct() |> args()

  defp args(map) when is_map(map),
    do: Map.new(map, fn {key, value} -> {key(key), args(value)} end)

  defp args(list) when is_list(list), do: Enum.map(list, &args/1)

  defp args(tuple) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> Enum.map(&args/1) |> List.to_tuple()

  defp args(other), do: other

  defp key(key) when is_atom(key), do: to_wit(key)
  defp key(key), do: key

  defp result(%_{} = struct), do: struct

  defp result(map) when is_map(map),
    do: Map.new(map, fn {key, value} -> {result_key(key), result(value)} end)

  defp result(list) when is_list(list), do: Enum.map(list, &result/1)

  # A case without an existing atom stays a string.
  defp result({tag, payload}) when is_binary(tag), do: {to_elixir(tag), result(payload)}

  defp result(tuple) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> Enum.map(&result/1) |> List.to_tuple()

  defp result(other), do: other

  defp result_key(key) when is_atom(key) or is_binary(key), do: to_elixir(key)
  defp result_key(key), do: key
end
