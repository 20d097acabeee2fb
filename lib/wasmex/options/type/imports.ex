defmodule Wasmex.Options.Type.Imports do
  @moduledoc false
  # Imports of a guest: a map of namespaces, converted to string names. The definitions are validated when they are
  # linked.

  use Wasmex.Options.Type

  @impl true
  def cast(imports) when is_map(imports) and not is_struct(imports) do
    {:ok, Wasmex.Utils.stringify_keys(imports)}
  rescue
    ArgumentError -> {:error, "", "names that are strings or atoms", imports}
  end

  def cast(other), do: {:error, "", expected(), other}

  @impl true
  def expected, do: "a map of namespaces"

  @impl true
  def spec, do: quote(do: map())

  @impl true
  def example,
    do: ~s|%{"env" => %{"log" => {:fn, [:i32], [], fn _context, n -> IO.inspect(n) end}}}|
end
