defmodule Wasmex.Pool.Worker.Meter do
  @moduledoc false
  # What a store has used since it was made.

  alias Wasmex.{Native, Store, StoreOrCaller}

  # More than any guest can burn.
  @fuel 0x0FFF_FFFF_FFFF_FFFF

  @doc "What a store is filled up with."
  @spec full() :: pos_integer()
  def full, do: @fuel

  @doc "Fills a new store up, so that what was burnt can be told."
  @spec fill(StoreOrCaller.t()) :: :ok | {:error, String.t()}
  def fill(store), do: StoreOrCaller.set_fuel(store, @fuel)

  @doc "Lets its guests burn so much."
  @spec grant(reference(), pos_integer()) :: term()
  def grant(resource, fuel),
    do: resource |> StoreOrCaller.__wrap_resource__() |> StoreOrCaller.set_fuel(min(fuel, @fuel))

  @doc "As if it had been full when it was filled."
  @spec read(reference()) :: %{
          optional(:fuel) => non_neg_integer(),
          memory: non_neg_integer()
        }
  def read(resource) do
    store = StoreOrCaller.__wrap_resource__(resource)

    memory =
      case Store.memory_peak(store) do
        {:ok, bytes} -> bytes
        # A store that was closed under its user.
        {:error, _} -> 0
      end

    case StoreOrCaller.get_fuel(store) do
      {:ok, left} -> %{memory: memory, fuel: @fuel - left}
      {:error, _} -> %{memory: memory}
    end
  end

  @spec close(reference()) :: :ok
  def close(resource), do: Native.store_close(resource)
end
