defmodule Wasmex.Pool.Worker do
  @moduledoc "What a `Wasmex.Pool` lends: how it is made, made ready for another use, and closed."

  @typedoc "Whatever `c:make/1` makes."
  @type worker :: term()

  @doc "Makes one, in the process that is going to use it."
  @callback make(argument :: term()) :: {:ok, worker()} | {:error, Exception.t()}

  @doc "Makes it ready for somebody else, by the policy `:reset`; anything but `{:ok, worker}` replaces it."
  @callback reset(worker()) :: {:ok, worker()} | term()

  @doc "Frees what it holds."
  @callback close(worker()) :: term()
end
