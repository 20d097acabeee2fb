defmodule Wasmex.Call.Access do
  @moduledoc false
  # A short operation on a store, such as reading memory. It runs immediately if the store is idle or suspended in an
  # import of this process. Otherwise it waits for its turn.

  alias Wasmex.Call.Turn
  alias Wasmex.{Error, Native}

  @doc """
  `operation` is a function that calls the NIF. `store` is a function that returns the store, called only if the
  operation has to wait.
  """
  @spec run((() -> term()), (() -> reference())) :: {:ok, term()} | {:error, Exception.t()}
  def run(operation, store), do: complete(operation.(), operation, store)

  @doc "Continues from the first result of the NIF, for callers that avoid creating closures before."
  @spec complete(term(), (() -> term()), (() -> reference())) ::
          {:ok, term()} | {:error, Exception.t()}
  def complete({:ok, _} = ok, _operation, _store), do: ok
  def complete({:error, native}, _operation, _store), do: {:error, Error.from_native(native)}

  def complete({:busy, ref}, operation, store) do
    case Turn.wait(store.(), ref, :infinity) do
      :ok -> run(operation, store)
      :deadlock -> {:error, %Error{reason: :deadlock}}
    end
  end

  @doc "Like `run/2`, for a memory."
  @spec memory(Wasmex.Memory.t(), (() -> term())) ::
          {:ok, term()} | {:error, Exception.t()}
  def memory(%{resource: resource}, operation),
    do: run(operation, fn -> Native.memory_store(resource) end)

  @doc "Like `complete/3`, for a memory."
  @spec memory(term(), Wasmex.Memory.t(), (() -> term())) ::
          {:ok, term()} | {:error, Exception.t()}
  def memory(step, %{resource: resource}, operation),
    do: complete(step, operation, fn -> Native.memory_store(resource) end)
end
