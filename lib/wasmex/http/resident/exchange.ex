defmodule Wasmex.HTTP.Resident.Exchange do
  @moduledoc false
  # One request to a resident server and its response, over its own connection (HTTP/1.1, RFC 9112). Replies like
  # `Wasmex.HTTP.Exchange`: up to 64 KiB are buffered, longer responses are streamed.

  alias Wasmex.{Error, Socket}
  alias Wasmex.HTTP.{Function, Request, Response}
  alias Wasmex.HTTP.Resident.Wire

  @held 64 * 1024
  # Interval in ms between checks for a disconnected client.
  @look 250

  defstruct [
    :socket,
    :deadline,
    :closed,
    :reply,
    :state,
    phase: :whole,
    head: nil,
    held: [],
    size: 0
  ]

  @doc "See `Wasmex.HTTP.Exchange.run/5`."
  @spec run(Function.t(), Request.t(), fun(), term(), term()) :: {Response.t(), term()}
  def run(%Function{resident: {listener, _pid}} = function, request, reply, state, closed) do
    started = System.monotonic_time(:microsecond)
    timeout = function.options.timeout
    deadline = System.monotonic_time(:millisecond) + timeout
    exchange = %__MODULE__{deadline: deadline, closed: closed, reply: reply, state: state}

    {response, state} =
      case Socket.connect(listener, timeout: timeout) do
        {:ok, socket} -> connected(%{exchange | socket: socket}, request, timeout)
        {:error, :timeout} -> failed(exchange, 504, timed_out(timeout))
        {:error, reason} -> failed(exchange, 502, broken("can't be reached: #{reason}"))
      end

    {%{response | duration: System.monotonic_time(:microsecond) - started}, state}
  end

  defp connected(exchange, request, timeout) do
    with {:ok, head, body} <- Wire.request(request),
         :ok <- send_all(exchange, head),
         :ok <- send_body(exchange, body),
         {:ok, head, rest} <- read_head(exchange, ""),
         {:ok, exchange} <- read_body(%{exchange | head: head}, request.method, rest) do
      finish(exchange)
    else
      {:error, status, error} ->
        failed(exchange, status, error)

      {:error, :timeout} ->
        failed(exchange, 504, timed_out(timeout))

      {:error, :gone} ->
        {%Response{status: 499, error: %Error{reason: :cancelled}}, exchange.state}

      {:broken, why, exchange} ->
        failed(exchange, 502, broken(why))

      {:gone, state} ->
        {%Response{status: 499, error: %Error{reason: :cancelled}}, state}

      {:error, reason} ->
        failed(exchange, 502, broken("closed the connection: #{inspect(reason)}"))
    end
  after
    Socket.close(exchange.socket)
  end

  defp timed_out(timeout), do: %Error{reason: :timeout, details: %{timeout: timeout}}

  defp broken(why),
    do: %Error{reason: :output, details: %{message: "the resident server #{why}"}}

  defp left(%{deadline: deadline}), do: max(deadline - System.monotonic_time(:millisecond), 0)

  # A server may respond before it has read all, and close: its response counts.
  defp send_all(exchange, bytes) do
    case Socket.send(exchange.socket, bytes, left(exchange)) do
      {:error, :closed} -> :ok
      other -> other
    end
  end

  defp send_body(exchange, {:whole, bytes}), do: send_all(exchange, bytes)

  defp send_body(exchange, {framing, pieces}) do
    sent =
      Enum.reduce_while(pieces, :ok, fn
        {:error, %Error{} = error}, :ok ->
          {:halt, {:error, Map.get(error.details, :status, 400), error}}

        piece, :ok ->
          case send_all(exchange, Wire.piece(framing, piece)) do
            :ok -> {:cont, :ok}
            error -> {:halt, error}
          end
      end)

    with :ok <- sent, do: send_all(exchange, Wire.last(framing))
  end

  defp read_head(exchange, got) do
    case Wire.head(got) do
      {:ok, %{status: status}, rest} when status in 100..199 -> read_head(exchange, rest)
      {:ok, head, rest} -> {:ok, head, rest}
      :more -> with {:ok, more} <- read(exchange), do: read_head(exchange, got <> more)
      {:error, why} -> {:broken, why, exchange}
    end
  end

  # In short waits, to notice a disconnected client.
  defp read(exchange) do
    wait = min(left(exchange), @look)

    case Socket.recv(exchange.socket, 0, wait) do
      {:error, :timeout} ->
        cond do
          gone?(exchange.closed) -> {:error, :gone}
          left(exchange) == 0 -> {:error, :timeout}
          true -> read(exchange)
        end

      other ->
        other
    end
  end

  defp gone?(nil), do: false

  defp gone?(closed) do
    receive do
      ^closed -> true
    after
      0 -> false
    end
  end

  defp read_body(exchange, method, rest) do
    case Wire.body(exchange.head, method) do
      {:error, why} -> {:broken, why, exchange}
      body -> pieces(exchange, body, rest)
    end
  end

  defp pieces(exchange, body, got) do
    case Wire.take(body, got) do
      {:done, bytes} ->
        hand_on(exchange, bytes)

      {:more, bytes, body, rest} ->
        with {:ok, exchange} <- hand_on(exchange, bytes) do
          case read(exchange) do
            {:ok, more} -> pieces(exchange, body, rest <> more)
            {:error, :closed} when body == :close -> {:ok, exchange}
            {:error, :closed} -> {:broken, "ended in the middle of its response", exchange}
            {:error, :timeout} -> {:broken, "has no time left for its response", exchange}
            error -> error
          end
        end

      {:error, why} ->
        {:broken, why, exchange}
    end
  end

  defp hand_on(exchange, []), do: {:ok, exchange}
  defp hand_on(%{phase: :streaming} = exchange, bytes), do: tell(exchange, {:chunk, bytes})

  defp hand_on(exchange, bytes) do
    held = [exchange.held | bytes]
    size = exchange.size + IO.iodata_length(bytes)

    if size <= @held do
      {:ok, %{exchange | held: held, size: size}}
    else
      %{status: status, headers: headers} = exchange.head

      with {:ok, exchange} <- tell(exchange, {:head, status, headers}),
           do: tell(%{exchange | phase: :streaming, held: []}, {:chunk, held})
    end
  end

  defp tell(exchange, event) do
    case exchange.reply.(event, exchange.state) do
      {:gone, state} -> {:gone, state}
      state -> {:ok, %{exchange | state: state}}
    end
  end

  defp finish(%{phase: :streaming} = exchange) do
    with {_, state} <- reply(exchange, :done),
         do: {%Response{status: exchange.head.status}, state}
  end

  defp finish(%{head: %{status: status, headers: headers}} = exchange) do
    body = IO.iodata_to_binary(exchange.held)
    {_, state} = reply(exchange, {:whole, status, headers, body})
    {%Response{status: status, headers: headers, body: body}, state}
  end

  defp reply(exchange, event) do
    case exchange.reply.(event, exchange.state) do
      {:gone, state} -> {:gone, state}
      state -> {:ok, state}
    end
  end

  defp failed(%{phase: :streaming} = exchange, status, error) do
    {_, state} = reply(exchange, :broken)
    {%Response{status: status, error: error}, state}
  end

  defp failed(exchange, status, error) do
    response = Response.plain(status, "#{status} #{Response.reason(status)}")
    {_, state} = reply(exchange, {:whole, status, response.headers, response.body})
    {%{response | error: error}, state}
  end
end
