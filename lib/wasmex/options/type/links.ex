defmodule Wasmex.Options.Type.Links do
  @moduledoc false
  # Compiled modules by name, converted to string names.

  use Wasmex.Options.Type

  @impl true
  def cast(links) when is_map(links) and not is_struct(links) do
    case Enum.find(links, &(not link?(&1))) do
      nil -> {:ok, Wasmex.Utils.stringify_keys(links)}
      {name, other} -> {:error, "", "modules by name", %{name => other}}
    end
  end

  def cast(other), do: {:error, "", expected(), other}

  defp link?({name, module}),
    do: (is_binary(name) or (is_atom(name) and name != nil)) and is_struct(module, Wasmex.Module)

  @impl true
  def expected, do: ~s|a map of names and modules|

  @impl true
  def spec, do: quote(do: %{optional(String.t() | atom()) => Wasmex.Module.t()})

  @impl true
  def example, do: ~s|%{"lib" => %Wasmex.Module{}}|
end
