defmodule Wasmex.Pool.Worker do
  @moduledoc """
  A kind of worker of a `Wasmex.Pool`: how it is created, called, reset and closed.

  All of it runs in the process that uses the worker. Only an abandoned worker (its user was killed, the pool ended, or
  it was unused for long) is closed by another process.
  """

  @typedoc "The result of `c:make/1`."
  @type worker :: term()

  @doc "Creates a worker, in the process that will use it."
  @callback make(argument :: term()) :: {:ok, worker()} | {:error, Exception.t()}

  @doc "Resets it for the next user, for the policy `:reset`; any result but `{:ok, worker}` replaces it."
  @callback reset(worker()) :: {:ok, worker()} | term()

  @doc "Frees its resources."
  @callback close(worker()) :: term()

  @doc "For `Wasmex.Pool.call/4`. After an error the worker is replaced; with a third element that is the worker from now on."
  @callback call(worker(), function :: term(), params :: term(), opts :: keyword()) ::
              {:ok, term()} | {:ok, term(), worker()} | {:error, Exception.t()}

  @doc """
  Its use since it was created: `:fuel`, and `:memory` in bytes. For limits per key; missing values are not limited.
  """
  @callback meter(worker()) :: %{
              optional(:fuel) => non_neg_integer(),
              optional(:memory) => non_neg_integer()
            }

  @doc "Grants it this much fuel from now on, for limits per key; `c:meter/1` returns its use."
  @callback grant(worker(), fuel :: pos_integer()) :: term()

  @optional_callbacks call: 4, meter: 1, grant: 2
end
