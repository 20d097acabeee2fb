defmodule Wasmex.Socket.Names do
  @moduledoc false
  # The names of in-memory listeners (`listen: [{:pipe, name}]`). A name is registered for the process that created the
  # store, and is free again when that process ends.

  alias Wasmex.{Error, Native}

  @registry Wasmex.Socket.Registry

  @doc "Registers a new listener with this name, for one guest."
  @spec register(term()) :: reference()
  def register(name) do
    case Native.socket_pipe(true) do
      {:ok, listener} -> put(name, listener)
      {:error, native} -> raise Error.from_native(native)
    end
  end

  defp put(name, listener) do
    case Registry.register(@registry, name, listener) do
      {:ok, _owner} ->
        listener

      {:error, {:already_registered, owner}} when owner == self() ->
        Registry.update_value(@registry, name, fn _before -> listener end)
        listener

      {:error, {:already_registered, owner}} ->
        raise ArgumentError,
              "listen: the pipe #{inspect(name)} is already used by #{inspect(owner)}; use another name"
    end
  rescue
    error in ArgumentError ->
      if Process.whereis(@registry), do: reraise(error, __STACKTRACE__)

      raise ArgumentError,
            "listen: {:pipe, name} needs the application :wasmex to be started"
  end

  @doc "The listener with this name."
  @spec find(term()) :: reference() | nil
  def find(name) do
    case Registry.lookup(@registry, name) do
      [{_owner, listener}] -> listener
      [] -> nil
    end
  end
end
