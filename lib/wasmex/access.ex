defmodule Wasmex.Access do
  @moduledoc false
  # A short use of a store (a memory read, a global): runs at once when the store is idle or suspended
  # in an import of this process, else waits for its turn.

  alias Wasmex.{Call, Error, Native}

  @doc """
  `operation` is a function that asks the NIF; `store` one that names the store, needed only when the
  operation has to wait.
  """
  def run(operation, store) do
    case operation.() do
      {:busy, ref} ->
        case Call.wait_turn(store.(), ref, :infinity) do
          :ok -> run(operation, store)
          :deadlock -> {:error, %Error{reason: :deadlock}}
        end

      {:error, native} ->
        {:error, Error.from_native(native)}

      {:ok, _} = ok ->
        ok
    end
  end

  def memory(%{resource: resource}, operation),
    do: run(operation, fn -> Native.memory_store(resource) end)
end
