defmodule Wasmex.Reference do
  @moduledoc """
  A reference to an object of a guest (a struct, array or exception of the GC and exception handling
  proposals). Elixir can keep it and pass it back to a guest of the same store, but not look inside.

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|
      ...>   (module (type $pair (struct (field i32 i32)))
      ...>     (func (export "pair") (result (ref $pair)) i32.const 1 i32.const 2 struct.new $pair)
      ...>     (func (export "sum") (param (ref $pair)) (result i32)
      ...>       local.get 0 struct.get $pair 0 local.get 0 struct.get $pair 1 i32.add))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> {:ok, [pair]} = Wasmex.Instance.call(instance, "pair", [])
      iex> Wasmex.Instance.call(instance, "sum", [pair])
      {:ok, [3]}

  ## Lifetime

  The object stays alive as long as the handle. After that, the store's garbage collector may free it.
  """

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}
end
