defmodule Wasmex.HTTP.Worker do
  @moduledoc false
  # The worker of a function's pool: the function, and the instance in its place, nil at first. Instances are created by
  # the first request that has the place, which is stopped at its timeout or when its client disconnects, as usual.

  @behaviour Wasmex.Pool.Worker

  alias Wasmex.{HTTP, Store}
  alias Wasmex.HTTP.{Exchange, Function, Request, Response}
  alias Wasmex.Program.Source

  @type worker :: {Function.t(), Source.instance() | nil}

  @impl true
  def make(%Function{} = function), do: {:ok, {function, nil}}

  @impl true
  def reset(_worker), do: :replace

  @impl true
  def close({_function, nil}), do: :ok
  def close({_function, {store, _instance, _stderr}}), do: Store.close(store)

  # Collects the response in memory; servers stream theirs and do not use this.
  @impl true
  def call({function, instance}, :handle, %Request{} = request, _opts) do
    source = %{function.source | instance: instance, keep?: function.reuse > 0}

    case HTTP.refuse(function, request) do
      nil ->
        {response, chunks, kept} =
          Exchange.run(function, source, request, &Response.gather/2, [], nil)

        {:ok, Response.gathered(response, chunks), {function, kept}}

      refused ->
        {:ok, refused}
    end
  end

  def call(_worker, function, request, _opts),
    do: Wasmex.Options.misuse!(":handle and a %Wasmex.HTTP.Request{}", {function, request})
end
