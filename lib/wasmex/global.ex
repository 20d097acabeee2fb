defmodule Wasmex.Global do
  @moduledoc """
  A guest's global variable (core specification, section 2.5.10).

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (global (export "g") (mut i64) i64.const 7))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> {:ok, global} = Wasmex.Instance.export(instance, :global, "g")
      iex> Wasmex.Global.set(global, 8)
      :ok
      iex> Wasmex.Global.get(global)
      {:ok, 8}
  """

  alias Wasmex.Native
  alias Wasmex.Call.Access

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}

  @doc "Its value."
  @spec get(t()) :: {:ok, term()} | {:error, Exception.t()}
  def get(%__MODULE__{resource: global}),
    do: run(global, fn -> Native.global_get(global, nil) end)

  @doc "Sets it, when it is mutable."
  @spec set(t(), term()) :: :ok | {:error, Exception.t()}
  def set(%__MODULE__{resource: global}, value) do
    with {:ok, _} <- run(global, fn -> Native.global_set(global, value, nil) end), do: :ok
  end

  @doc "Its type, as in `Wasmex.Module.exports/1`."
  @spec type(t()) :: {:ok, tuple()} | {:error, Exception.t()}
  def type(%__MODULE__{resource: global}),
    do: run(global, fn -> Native.global_type(global, nil) end)

  defp run(global, operation), do: Access.run(operation, fn -> Native.global_store(global) end)
end
