defmodule Wasmex.HTTP.Forwarded do
  @moduledoc false
  # A request forwarded by another node: it takes a place in the pool of the function's version, so that a node does no
  # more for others than for itself, and sends the response in parts.

  alias Wasmex.Call.Timeout
  alias Wasmex.{Deploy, Error, HTTP, Pool, Quantity}
  alias Wasmex.Cluster.{Inlet, Outlet}
  alias Wasmex.Deploy.Routes
  alias Wasmex.HTTP.{Exchange, Request, Response, Reuse}

  # How long a request may wait for a place, in ms.
  @patience 1_000

  @doc "Called by `Wasmex.Cluster.StreamedCall`, on the node that runs the request."
  @spec serve(Deploy.name(), Request.t(), Inlet.t(), Outlet.t(), integer() | :infinity) ::
          {:ok, Response.t()} | {:error, Exception.t()}
  def serve(name, request, inlet, outlet, deadline) do
    with {:ok, route} <- found(name),
         {_threshold, _number, pool, counts, function} = Routes.pick(route),
         {:ok, lease} <- place(pool, deadline) do
      try do
        request = %{request | body: limited(inlet, function.max_body)}
        response = run(function, lease, request, outlet)
        Routes.count(route.server, counts, response.status >= 500)
        {:ok, %{response | body: ""}}
      catch
        kind, reason ->
          Reuse.give_back(lease, nil)
          :erlang.raise(kind, reason, __STACKTRACE__)
      end
    end
  end

  defp found(name) do
    with :error <- Routes.fetch(name) do
      message = "#{inspect(name)} is not deployed on #{node()}"
      {:error, %Error{reason: :not_deployed, details: %{name: name, message: message}}}
    end
  end

  defp place(nil, _deadline),
    do: {:error, %Error{reason: :overloaded, details: %{message: "the pool is being restarted"}}}

  defp place(pool, deadline),
    do: Pool.checkout(pool, timeout: min(@patience, Timeout.left(deadline)))

  defp run(function, lease, request, outlet) do
    case too_long(function, request) || HTTP.refuse(function, request) do
      nil ->
        source = Reuse.source(function, lease)

        {response, _outlet, kept} = Exchange.run(function, source, request, &put/2, outlet, nil)

        Reuse.give_back(lease, kept)
        response

      refused ->
        Reuse.give_back(lease, nil)
        put({:whole, refused.status, refused.headers, refused.body}, outlet)
        refused
    end
  end

  # Limited by the client's stated length; the received bytes are counted too.
  defp too_long(%{max_body: most}, request) do
    with text when text != nil <- Request.header(request, "content-length"),
         {:ok, length} when length > most <- Quantity.natural(text) do
      Response.plain(413, "413 #{Response.reason(413)}")
    else
      _ -> nil
    end
  end

  defp put({:chunk, bytes} = event, outlet),
    do: Outlet.put(outlet, event, IO.iodata_length(bytes))

  defp put({:whole, _, _, body} = event, outlet),
    do: Outlet.put(outlet, event, IO.iodata_length(body))

  defp put(event, outlet), do: Outlet.put(outlet, event, 0)

  # The node that reads the body does not know the function's limit.
  defp limited(inlet, most) do
    Stream.transform(inlet, 0, fn
      {:error, _} = failure, size ->
        {[failure], size}

      bytes, size ->
        size = size + IO.iodata_length(bytes)
        if size > most, do: {[Request.body_error(413)], size}, else: {[bytes], size}
    end)
  end
end
