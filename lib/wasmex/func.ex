defmodule Wasmex.Func do
  @moduledoc """
  A function of a store as a value: what a funcref is in Elixir. It can be called, passed to a guest,
  put into a table and imported by another module of the same store.

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|
      ...>   (module (func $f (export "f") (param i32) (result i32) local.get 0 i32.const 1 i32.add)
      ...>     (func (export "get") (result funcref) ref.func $f))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> {:ok, [func]} = Wasmex.Instance.call(instance, "get", [])
      iex> Wasmex.Func.call(func, [41])
      {:ok, [42]}
      iex> Wasmex.Func.type(func)
      {:fn, [:i32], [:i32]}
  """

  alias Wasmex.{Call, Instance, Native}
  alias Wasmex.Call.Timeout

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}

  @doc "Calls it in this process; options and results as in `Wasmex.Instance.call/4` (no `{:bytes, _}`)."
  @spec call(t(), [term()], keyword()) :: {:ok, [term()]} | {:error, Exception.t()}
  def call(%__MODULE__{resource: func}, params, opts \\ []) when is_list(params) do
    opts = Wasmex.Utils.options!(opts, [:fuel, timeout: :infinity])
    fuel = Instance.fuel!(opts[:fuel])
    again = fn -> Native.func_call(func, params, fuel) end
    store = Native.func_store(func)
    Call.run(Call.new(store, Timeout.check!(opts[:timeout]), nil, again))
  end

  @doc "Its type: `{:fn, params, results}`."
  @spec type(t()) :: Wasmex.Module.extern_type()
  def type(%__MODULE__{resource: func}), do: Native.func_type(func)
end
