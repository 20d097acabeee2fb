defmodule Wasmex.Func do
  @moduledoc """
  A function of a store as a value, the Elixir form of a funcref. It can be called, passed to a guest, stored
  in a table, and imported by another module of the same store.

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

  alias Wasmex.{Call, Native, Options}
  alias Wasmex.Call.Context

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}

  @options Options.table(
             Options.Call.limits() ++ Keyword.take(Options.Call.core(), [:floats]),
             "Wasmex.Func.call/3"
           )

  @doc """
  Calls the function in this process. Values are those of `Wasmex.Instance.call/4`, except `{:bytes, _}` arguments, which
  need the allocator of an instance.

  #{Options.Docs.table(@options)}
  """
  @spec call(t(), [term()], keyword()) :: {:ok, [term()]} | {:error, Exception.t()}
  def call(%__MODULE__{resource: func}, params, opts \\ []) when is_list(params) do
    %{timeout: timeout, fuel: fuel, floats: floats} = Options.new!(opts, @options)
    again = fn -> Native.func_call(func, params, floats == :bits, fuel) end
    store = Native.func_store(func)
    Call.run(Call.new(store, timeout, Context.of(), again))
  end

  @doc "The type of the function: `{:fn, params, results}`."
  @spec type(t()) :: Wasmex.Module.extern_type()
  def type(%__MODULE__{resource: func}), do: Native.func_type(func)
end
