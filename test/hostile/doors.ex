defmodule Wasmex.Hostile.Doors do
  @moduledoc "Hostile bytes of other kinds at doors that are not those of `Wasmex.run/3`: each with its own limits and texts."

  alias Wasmex.Hostile.Generator

  @kinds ~w(isolated plugged served generated shown)a

  @modules ~w(tables memories names locals calls branches blocks loops nest aliases structures globals types imports exports
    elements data segments custom mutated shuffled catches references edges wide repeated subtypes exported)a
  @components ~w(nested_types nested_components doubling tuples chain compared long_names canons fresh copies adapters
    ascribed nameless externs exported custom)a
  @texts ~w(wit uses includes documented gated packages resources)a

  @doc "All kinds of input."
  def kinds, do: @kinds

  @doc "The input of this kind, after `:rand` was seeded: the door, and what goes there."
  def make(:generated), do: {:generated, other(@components ++ @texts)}
  def make(:plugged), do: {:plugged, bytes(@modules ++ @components)}
  def make(:served), do: {:served, bytes(@modules ++ @components)}
  def make(door), do: {door, bytes(@modules ++ @components)}

  defp bytes(kinds) do
    {:wasm, bytes} = other(kinds)
    bytes
  end

  defp other(kinds), do: Generator.input(Enum.random(kinds), :rand.uniform(1_000_000_000))
end
