defmodule Wasmex.Pool.Worker do
  @moduledoc """
  What a `Wasmex.Pool` lends: how it is made, called, made ready for another use, and closed.

  All of it happens in the process that uses the worker. Only a worker that was left behind (its user was killed, the pool
  ended, or nobody used it for long) is closed by another one.
  """

  @typedoc "Whatever `c:make/1` makes."
  @type worker :: term()

  @doc "Makes one, in the process that is going to use it."
  @callback make(argument :: term()) :: {:ok, worker()} | {:error, Exception.t()}

  @doc "Makes it ready for somebody else, by the policy `:reset`; anything but `{:ok, worker}` replaces it."
  @callback reset(worker()) :: {:ok, worker()} | term()

  @doc "Frees what it holds."
  @callback close(worker()) :: term()

  @doc "For `Wasmex.Pool.call/4`. After an error the worker is replaced; with a third element that is the worker from now on."
  @callback call(worker(), function :: term(), params :: term(), opts :: keyword()) ::
              {:ok, term()} | {:ok, term(), worker()} | {:error, Exception.t()}

  @doc """
  What it has used since it was made: `:fuel`, and `:memory` in bytes. For the limits of a key; what is missing is not
  limited.
  """
  @callback meter(worker()) :: %{
              optional(:fuel) => non_neg_integer(),
              optional(:memory) => non_neg_integer()
            }

  @doc "Lets it burn so much fuel from now on, for the limits of a key; `c:meter/1` tells what it has burnt of that."
  @callback grant(worker(), fuel :: pos_integer()) :: term()

  @optional_callbacks call: 4, meter: 1, grant: 2
end
