defmodule Wasmex.Call.Access do
  @moduledoc false
  # A short use of a store (a memory read, a global): runs at once when the store is idle or suspended
  # in an import of this process, else waits for its turn.

  alias Wasmex.Call.Turn
  alias Wasmex.{Error, Native}

  @doc """
  `operation` is a function that asks the NIF; `store` one that names the store, needed only when the
  operation has to wait.
  """
  @spec run((() -> term()), (() -> reference())) :: {:ok, term()} | {:error, Exception.t()}
  def run(operation, store), do: settle(operation.(), operation, store)

  @doc "Goes on from what the NIF answered; for callers that ask once before they make closures."
  @spec settle(term(), (() -> term()), (() -> reference())) ::
          {:ok, term()} | {:error, Exception.t()}
  def settle({:ok, _} = ok, _operation, _store), do: ok
  def settle({:error, native}, _operation, _store), do: {:error, Error.from_native(native)}

  def settle({:busy, ref}, operation, store) do
    case Turn.wait(store.(), ref, :infinity) do
      :ok -> run(operation, store)
      :deadlock -> {:error, %Error{reason: :deadlock}}
    end
  end

  @doc "The same for a memory."
  def memory(%{resource: resource}, operation),
    do: run(operation, fn -> Native.memory_store(resource) end)

  def memory(step, %{resource: resource}, operation),
    do: settle(step, operation, fn -> Native.memory_store(resource) end)
end
