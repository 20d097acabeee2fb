defmodule Wasmex.Options.Type.Names do
  @moduledoc false
  # The atoms for WIT names: a map of strings to atoms.

  use Wasmex.Options.Type

  @impl true
  def cast(names) when is_map(names) and not is_struct(names) do
    case Enum.find(names, fn {name, atom} -> not (is_binary(name) and is_atom(atom)) end) do
      nil -> {:ok, names}
      {name, atom} -> {:error, "", expected(), %{name => atom}}
    end
  end

  def cast(other), do: {:error, "", expected(), other}

  @impl true
  def expected, do: "a map of strings to atoms"

  @impl true
  def spec, do: quote(do: %{optional(String.t()) => atom()})

  @impl true
  def example, do: ~s|%{"first-name" => :first_name}|
end
