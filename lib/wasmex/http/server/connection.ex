defmodule Wasmex.HTTP.Server.Connection do
  @moduledoc false
  # One connection. This process reads its requests and handles them one after the other.

  alias Wasmex.HTTP.{Request, Response, Service}
  alias Wasmex.HTTP.Server.{Body, Head, Wire}

  # The maximum time between requests, and for the head of a request, in ms.
  @idle 60_000
  @patience 10_000

  @spec run(:gen_tcp.socket(), Wasmex.HTTP.Service.t()) :: term()
  def run(socket, service) do
    with {:ok, {address, _port}} <- :inet.peername(socket),
         {:ok, {_, port}} <- :inet.sockname(socket) do
      remote = address |> :inet.ntoa() |> to_string()
      serve(%Wire{socket: socket}, %{service: service, remote: remote, port: port})
    else
      # The client has already disconnected.
      {:error, _} -> :ok
    end
  after
    :gen_tcp.close(socket)
  end

  defp serve(wire, context) do
    case Wire.head(wire, @idle, @patience) do
      {:ok, head, wire} -> serve_request(head, wire, context)
      {:refuse, status, wire} -> refuse(wire.socket, status)
      :closed -> :ok
    end
  end

  # After a malformed request, the rest of the connection cannot be trusted.
  defp refuse(socket, status) do
    response = Response.plain(status, "#{status} #{Response.reason(status)}")
    headers = [{"connection", "close"} | response.headers]
    state = %{socket: socket, head?: false, chunked?: true, keep?: false}
    reply({:whole, status, headers, response.body}, state)
    linger(socket)
  end

  # Closing a connection with unread bytes resets it, and the client may lose the response. So drain it briefly, until the
  # client closes it or has had enough time to read the response.
  @linger 2_000

  defp linger(socket) do
    :gen_tcp.shutdown(socket, :write)
    drain(socket, System.monotonic_time(:millisecond) + @linger)
  end

  defp drain(socket, deadline) do
    left = deadline - System.monotonic_time(:millisecond)
    if left > 0 and match?({:ok, _}, :gen_tcp.recv(socket, 0, left)), do: drain(socket, deadline)
  end

  defp serve_request(head, wire, context) do
    Body.begin(wire, head.body, head.continue?)

    state = %{
      socket: wire.socket,
      head?: head.method == "HEAD",
      chunked?: head.version == {1, 1},
      keep?: head.keep?
    }

    # Without a request body, further bytes are the next request or the end of the connection. Listen for the latter, but
    # only if the function takes long: it takes two system calls.
    closed = if head.body == 0, do: fn -> closed(wire.socket) end

    state = serve_target(head, context, state, closed)

    with {:ok, wire} <- Body.finish(),
         {:ok, wire} <- passive(wire) do
      # A client may have sent more than it should after a request with which it wanted to close.
      if state.keep?, do: serve(wire, context), else: linger(wire.socket)
    else
      :unread -> linger(wire.socket)
      :closed -> :ok
    end
  end

  # What the server supports (RFC 9110, section 9.3.7).
  defp serve_target(%{target: "*"}, _context, state, _closed) do
    allowed = {"allow", Enum.join(Head.methods(), ", ")}
    with {:gone, state} <- reply({:whole, 204, [allowed], ""}, state), do: state
  end

  defp serve_target(head, context, state, closed) do
    request = request(head, context)
    context.service |> Service.serve(request, &reply/2, state, closed) |> elem(1)
  end

  @listens :"$wasmex_http_listens"

  # The message that reports the end of the connection.
  defp closed(socket) do
    Process.put(@listens, true)
    :inet.setopts(socket, active: :once)
    {:tcp_closed, socket}
  end

  # Back to passive mode, unless the function was too short to leave it.
  defp passive(wire),
    do: if(Process.delete(@listens), do: stop_listening(wire), else: {:ok, wire})

  # Bytes that have arrived belong to the next request.
  defp stop_listening(%{socket: socket} = wire) do
    :inet.setopts(socket, active: false)

    receive do
      {:tcp, ^socket, bytes} -> {:ok, %{wire | buffer: wire.buffer <> bytes}}
      {:tcp_closed, ^socket} -> :closed
      {:tcp_error, ^socket, _} -> :closed
    after
      0 -> {:ok, wire}
    end
  end

  defp request(head, context) do
    request = Request.new(head.method, head.target, head.headers)
    {major, minor} = head.version

    %{
      request
      | remote_addr: context.remote,
        protocol: "HTTP/#{major}.#{minor}",
        port: context.port,
        body: if(head.body == 0, do: "", else: {:stream, head.body, &Body.stream/2})
    }
  end

  # Other requests need the place, so the client must read within this time (ms).
  @hurry 250

  defp reply({:hurry, event}, %{socket: socket} = state) do
    {:ok, [send_timeout: usual]} = :inet.getopts(socket, [:send_timeout])
    :inet.setopts(socket, send_timeout: @hurry)
    written = reply(event, state)
    :inet.setopts(socket, send_timeout: usual)
    written
  end

  # Responses without a body must not have a length.
  defp reply({:whole, status, headers, ""}, state) when status in [204, 304],
    do: send_all(state, head(status, headers, state))

  defp reply({:whole, status, headers, body}, state) do
    length = {"content-length", Integer.to_string(byte_size(body))}

    send_all(state, [head(status, [length | headers], state), if(state.head?, do: "", else: body)])
  end

  defp reply({:head, status, headers}, %{chunked?: true} = state),
    do: send_all(state, head(status, [{"transfer-encoding", "chunked"} | headers], state))

  # HTTP/1.0 has no chunked coding: the end of the connection ends the body.
  defp reply({:head, status, headers}, state) do
    state = %{state | keep?: false}
    send_all(state, head(status, headers, state))
  end

  defp reply({:chunk, _bytes}, %{head?: true} = state), do: state

  defp reply({:chunk, bytes}, %{chunked?: true} = state) do
    size = bytes |> IO.iodata_length() |> Integer.to_string(16)
    send_all(state, [size, "\r\n", bytes, "\r\n"])
  end

  defp reply({:chunk, bytes}, state), do: send_all(state, bytes)
  defp reply(:done, %{chunked?: true, head?: false} = state), do: send_all(state, "0\r\n\r\n")
  defp reply(:done, state), do: state
  # An incomplete response must not look complete.
  defp reply(:broken, state), do: %{state | keep?: false}

  defp send_all(state, iodata) do
    case :gen_tcp.send(state.socket, iodata) do
      :ok -> state
      {:error, _} -> {:gone, %{state | keep?: false}}
    end
  end

  defp head(status, headers, state) do
    # HTTP/1.0 clients need a confirmation of keep-alive.
    connection =
      cond do
        not state.keep? -> [{"connection", "close"}]
        state.chunked? -> []
        true -> [{"connection", "keep-alive"}]
      end

    headers =
      if List.keymember?(headers, "connection", 0), do: headers, else: connection ++ headers

    headers = if List.keymember?(headers, "date", 0), do: headers, else: [date() | headers]

    [
      "HTTP/1.1 #{status} #{Response.reason(status)}\r\n",
      for({name, value} <- headers, do: [name, ": ", value, "\r\n"]),
      "\r\n"
    ]
  end

  @date :"$wasmex_http_date"

  # Formatted once a second (RFC 9110, section 6.6.1).
  defp date do
    now = System.os_time(:second)

    case Process.get(@date) do
      {^now, date} -> date
      _ -> tap(date(now), &Process.put(@date, {now, &1}))
    end
  end

  defp date(now) do
    now = DateTime.from_unix!(now)
    {"date", Calendar.strftime(now, "%a, %d %b %Y %H:%M:%S GMT")}
  end
end
