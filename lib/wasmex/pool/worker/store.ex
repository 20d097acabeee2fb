defmodule Wasmex.Pool.Worker.Store do
  @moduledoc false
  # Shared by workers for modules and components: their own store, which is closed with them.

  alias Wasmex.{Error, Store}
  alias Wasmex.Pool.Worker.Meter

  @doc "Creates an instance in this store and calls its `prepare:` function; closes the store on failure."
  @spec instance(
          Wasmex.StoreOrCaller.t(),
          boolean(),
          (() -> {:ok, instance} | {:error, term()}),
          (instance ->
             {:ok, term()}
             | {:error, term()})
        ) ::
          {:ok, instance} | {:error, term()}
        when instance: term()
  def instance(store, fuel?, make, prepare) do
    with :ok <- filled(store, fuel?),
         {:ok, instance} <- make.(),
         {:ok, _} <- prepare.(instance) do
      {:ok, instance}
    else
      error ->
        Store.close(store)
        error
    end
  end

  defp filled(_store, false), do: :ok

  defp filled(store, true) do
    with {:error, text} <- Meter.fill(store),
         do: {:error, %Error{reason: :fuel_disabled, details: %{message: text}}}
  end
end
