defmodule Wasmex.Tag do
  @moduledoc """
  An exported tag, which identifies a kind of exception (core specification, section 4.2.10). Pass it to
  another module of the same store to let that module throw and catch the same exceptions.

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (tag $t (export "t") (param i32)) (func (export "f") (throw $t (i32.const 7))))|)
      iex> {:ok, thrower} = Wasmex.Instance.new(store, module, %{})
      iex> {:ok, tag} = Wasmex.Instance.export(thrower, :tag, "t")
      iex> {:ok, f} = Wasmex.Instance.export(thrower, :func, "f")
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (import "a" "t" (tag $t (param i32))) (import "a" "f" (func $f))
      ...>   (func (export "g") (result i32) (block $h (result i32) (try_table (catch $t $h) (call $f)) (i32.const 0))))|)
      iex> {:ok, catcher} = Wasmex.Instance.new(store, module, %{a: %{t: tag, f: f}})
      iex> Wasmex.Instance.call(catcher, "g", [])
      {:ok, [7]}

  ## Lifetime

  A tag keeps its store alive.
  """

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}
end
