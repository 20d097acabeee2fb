defmodule Wasmex.Hostile.Doors do
  @moduledoc "Hostile bytes of other kinds at doors that are not those of `Wasmex.run/3`: each with its own limits and texts."

  alias Wasmex.Hostile.Generator

  # It is compiled after its kinds.
  @compile {:no_warn_undefined, Generator}

  @kinds ~w(isolated plugged served generated shown snapped)a

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

  # Guests that do what they can before the snapshot, and others.
  def make(:snapped) do
    case :rand.uniform(3) do
      1 -> {:snapped, bytes(@modules ++ @components)}
      2 -> {:snapped, "(module #{elem(other(~w(growing recursive thrown objects instant)a), 1)})"}
      3 -> {:snapped, "(module #{Enum.random(states())})"}
    end
  end

  def make(door), do: {door, bytes(@modules ++ @components)}

  # Much to write into the code.
  defp states do
    pages = round(:math.pow(7_000, :rand.uniform()))

    write = fn step ->
      "(func $s (local i32) (loop $l (i32.store8 (local.get 0) (i32.const 1)) (local.set 0 (i32.add (local.get 0) (i32.const #{step}))) (br_if $l (i32.lt_u (local.get 0) (i32.const #{pages * 65_536}))))) (start $s)"
    end

    [
      "(memory #{pages}) #{write.(65_536)}",
      "(memory #{pages}) #{write.(1_000)}",
      "(memory #{min(pages, 100)}) #{write.(2)}",
      String.duplicate("(memory 1)", 50) <>
        String.duplicate("(global (mut i64) (i64.const 1))", pages),
      "(memory 1) (func $s (drop (memory.grow (i32.const #{pages}))) (i32.store8 (i32.const 70000) (i32.const 1))) (start $s)",
      "(memory i64 #{pages}) (func $s (i64.store (i64.const 65528) (i64.const -1))) (start $s)",
      "(memory 1 #{pages + 1} shared) (func $s (i32.store (i32.const 0) (i32.const -1))) (start $s)"
    ]
  end

  defp bytes(kinds) do
    {:wasm, bytes} = other(kinds)
    bytes
  end

  defp other(kinds), do: Generator.input(Enum.random(kinds), :rand.uniform(1_000_000_000))
end
