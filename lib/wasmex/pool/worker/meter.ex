defmodule Wasmex.Pool.Worker.Meter do
  @moduledoc false
  # The fuel and memory a store has used since it was created.

  alias Wasmex.{Native, Store, StoreOrCaller}

  # More than any guest can burn.
  @fuel 0x0FFF_FFFF_FFFF_FFFF

  @doc "The initial fuel of a store."
  @spec full() :: pos_integer()
  def full, do: @fuel

  @doc "Fills up a new store, so that the fuel burnt is known."
  @spec fill(StoreOrCaller.t()) :: :ok | {:error, String.t()}
  def fill(store), do: StoreOrCaller.set_fuel(store, @fuel)

  @doc "Grants its guests this much fuel."
  @spec grant(reference(), pos_integer()) :: term()
  def grant(resource, fuel),
    do: resource |> StoreOrCaller.__wrap_resource__() |> StoreOrCaller.set_fuel(min(fuel, @fuel))

  @doc "Counts as if it had been full before."
  @spec read(reference()) :: %{
          optional(:fuel) => non_neg_integer(),
          memory: non_neg_integer()
        }
  def read(resource) do
    store = StoreOrCaller.__wrap_resource__(resource)

    memory =
      case Store.memory_peak(store) do
        {:ok, bytes} -> bytes
        # The store was closed during the use.
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
