defmodule Wasmex.Options.Type.Strings do
  @moduledoc false
  # Strings by name: a map or a keyword list, kept as a map with strings as names. All of them are UTF-8.

  use Wasmex.Options.Type

  alias Wasmex.Utils

  @impl true
  def cast(pairs) when is_map(pairs) and not is_struct(pairs),
    do: pairs |> Map.to_list() |> collect(%{})

  def cast(pairs) when is_list(pairs), do: collect(pairs, %{})
  def cast(other), do: problem(other)

  defp collect([{name, text} | rest], strings) do
    name = if is_atom(name) and name != nil, do: Atom.to_string(name), else: name

    cond do
      not utf8?(name) -> {:error, "", "strings or atoms as names", name}
      not utf8?(text) -> {:error, ", #{inspect(name)}", "a string", text}
      true -> collect(rest, Map.put(strings, name, text))
    end
  end

  defp collect([], strings), do: {:ok, strings}
  defp collect(other, _strings), do: problem(other)

  defp utf8?(text), do: is_binary(text) and Utils.utf8?(text)

  defp problem(other), do: {:error, "", expected(), other}

  @impl true
  def expected, do: "a map of names and strings"

  @impl true
  def spec, do: quote(do: %{optional(String.t() | atom()) => String.t()} | keyword(String.t()))

  @impl true
  def example, do: ~s|%{"language" => "en"}|
end
