defmodule Wasmex.StoreOrCaller do
  @moduledoc """
  A store, or the `caller` passed to an imported function: the same store from inside a call.

  Functions that take a store accept both. A caller is valid only during the import call it was passed to,
  in the process that runs it. The store is valid there too, and anywhere else, where the caller may have
  to wait for its turn.

  ## Example

      iex> {:ok, engine} = Wasmex.Engine.new(%Wasmex.EngineConfig{consume_fuel: true})
      iex> {:ok, store} = Wasmex.Store.new(nil, engine)
      iex> Wasmex.StoreOrCaller.set_fuel(store, 1_000)
      :ok
      iex> Wasmex.StoreOrCaller.get_fuel(store)
      {:ok, 1_000}

  ## Lifetime

  The native store is freed when its last handle is garbage collected (instances, memories and
  functions are handles too), or immediately by `Wasmex.Store.close/1`.
  """

  alias Wasmex.{Compat, Native, Options}
  alias Wasmex.Call.Access

  # `tags` are for telemetry, see `Wasmex.Store.tag/2`.
  defstruct resource: nil, reference: nil, tags: %{}

  @type t :: %__MODULE__{resource: term(), reference: reference(), tags: map()}

  @doc false
  @spec __wrap_resource__(reference() | {reference(), non_neg_integer()}) :: t()
  def __wrap_resource__(resource), do: %__MODULE__{resource: resource, reference: make_ref()}

  @doc false
  # The store's resource, and the serial of the import when this is a caller.
  @spec split(term()) :: {reference(), non_neg_integer() | nil}
  def split(%__MODULE__{resource: {store, serial}}), do: {store, serial}
  def split(%__MODULE__{resource: store}) when is_reference(store), do: {store, nil}

  def split(other),
    do: Options.misuse!("a Wasmex store or caller", other)

  @doc false
  @spec via(term()) :: non_neg_integer() | nil
  def via(%__MODULE__{resource: {store, serial}}) when node(store) == node(), do: serial
  def via(%__MODULE__{resource: store}) when node(store) == node(), do: nil
  def via(%__MODULE__{resource: {store, _serial}}), do: Options.here!(store, "store")

  def via(%__MODULE__{resource: store}) when is_reference(store),
    do: Options.here!(store, "store")

  def via(other),
    do: Options.misuse!("a Wasmex store or caller", other)

  @doc """
  Sets the fuel that guests of the store may consume from now on. A wasm instruction costs about one unit.

  Returns `{:error, text}` if the engine was created without `consume_fuel: true`.
  """
  @spec set_fuel(t(), non_neg_integer()) :: :ok | {:error, String.t()}
  def set_fuel(store_or_caller, fuel) when is_integer(fuel) and fuel >= 0 do
    {store, via} = split(store_or_caller)

    case Access.run(fn -> Native.store_set_fuel(store, fuel, via) end, fn -> store end) do
      {:ok, _} -> :ok
      {:error, error} -> {:error, fuel_text("set", error)}
    end
  end

  @doc "The remaining fuel."
  @spec get_fuel(t()) :: {:ok, non_neg_integer()} | {:error, String.t()}
  def get_fuel(store_or_caller) do
    {store, via} = split(store_or_caller)

    with {:error, error} <-
           Access.run(fn -> Native.store_get_fuel(store, via) end, fn -> store end),
         do: {:error, fuel_text("get", error)}
  end

  defp fuel_text(verb, %{reason: :fuel_disabled} = error),
    do: "Could not #{verb} fuel: #{Exception.message(error)}"

  defp fuel_text(_verb, error), do: Compat.text(error)
end
