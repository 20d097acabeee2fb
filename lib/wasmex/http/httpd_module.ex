defmodule Wasmex.HTTP.HttpdModule do
  @moduledoc false
  # The module that httpd calls for each request: reads its record, serves, and writes to the socket
  # itself. httpd would send head and body in two packets, which costs forty milliseconds on a kept
  # connection (Nagle's algorithm and delayed acknowledgements).

  require Record

  alias Wasmex.HTTP.{Request, Response, Service}

  Record.defrecordp(:mod, Record.extract(:mod, from_lib: "inets/include/httpd.hrl"))

  def unquote(:do)(mod) do
    socket = mod(mod, :socket)
    :inet.setopts(socket, nodelay: true, send_timeout: 30_000, send_timeout_close: true)

    # So that a client that goes away is heard of; what it sends next stays in the mailbox for httpd.
    :inet.setopts(socket, active: :once)
    service = :httpd_util.lookup(mod(mod, :config_db), :wasmex)

    state = %{
      socket: socket,
      head?: mod(mod, :method) == 'HEAD',
      chunked?: chunked?(mod),
      sent: 0
    }

    {response, state} =
      Service.serve(service, request(mod), &reply/2, state, {:tcp_closed, socket})

    {:proceed, [{:response, {:already_sent, response.status, state.sent}} | mod(mod, :data)]}
  end

  # httpd asks every module for its options before it starts.
  def store({:wasmex, service}, _config), do: {:ok, {:wasmex, service}}

  defp chunked?(mod), do: mod(mod, :http_version) == 'HTTP/1.1'

  defp request(mod) do
    headers = for {name, value} <- mod(mod, :parsed_header), do: {to_string(name), binary(value)}
    {_port, remote} = mod(mod, :init_data) |> elem(1)

    request =
      Request.new(
        binary(mod(mod, :method)),
        target(mod),
        headers,
        IO.iodata_to_binary(mod(mod, :entity_body))
      )

    %{request | remote_addr: remote |> to_string(), protocol: binary(mod(mod, :http_version))}
  end

  # As the client wrote it: httpd resolves dots, and what tries to climb should be told so.
  defp target(mod) do
    case mod |> mod(:request_line) |> binary() |> String.split(" ") do
      [_method, "/" <> _ = target | _] -> target
      # With scheme and authority, as to a proxy (RFC 9112, section 3.2.2).
      [_method, target | _] -> Regex.replace(~r{\Ahttps?://[^/?]*}i, target, "")
      _ -> binary(mod(mod, :request_uri))
    end
  end

  # Charlists of bytes, not of characters.
  defp binary(chars) when is_list(chars), do: :erlang.list_to_binary(chars)
  defp binary(bytes) when is_binary(bytes), do: bytes

  defp reply({:whole, status, headers, body}, state) do
    length = {"content-length", Integer.to_string(byte_size(body))}
    send_all(state, [head(status, [length | headers]), if(state.head?, do: "", else: body)])
  end

  defp reply({:head, status, headers}, %{chunked?: true} = state),
    do: send_all(state, head(status, [{"transfer-encoding", "chunked"} | headers]))

  # HTTP/1.0 has no chunks: the end of the connection is the end of the body.
  defp reply({:head, status, headers}, state),
    do: send_all(state, head(status, [{"connection", "close"} | headers]))

  defp reply({:chunk, _bytes}, %{head?: true} = state), do: state

  defp reply({:chunk, bytes}, %{chunked?: true} = state) do
    size = bytes |> IO.iodata_length() |> Integer.to_string(16)
    send_all(state, [size, "\r\n", bytes, "\r\n"])
  end

  defp reply({:chunk, bytes}, state), do: send_all(state, bytes)

  defp reply(:done, %{chunked?: true, head?: false} = state), do: send_all(state, "0\r\n\r\n")
  defp reply(:done, %{chunked?: false} = state), do: close(state)
  defp reply(:done, state), do: state
  # Half an answer must not look like a whole one.
  defp reply(:broken, state), do: close(state)

  defp close(state) do
    :gen_tcp.shutdown(state.socket, :read_write)
    state
  end

  defp send_all(state, iodata) do
    case :gen_tcp.send(state.socket, iodata) do
      :ok -> %{state | sent: state.sent + IO.iodata_length(iodata)}
      {:error, _} -> {:gone, state}
    end
  end

  defp head(status, headers) do
    [
      "HTTP/1.1 ",
      Integer.to_string(status),
      " ",
      Response.reason(status),
      "\r\n",
      for({name, value} <- headers, do: [name, ": ", value, "\r\n"]),
      "\r\n"
    ]
  end
end
