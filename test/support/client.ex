defmodule Wasmex.Client do
  @moduledoc "A client that sends what it is told to, well formed or not, and reads what comes."

  @doc "Sends bytes to a port of this machine, in pieces with pauses, and reads until nothing comes."
  def raw(port, pieces, wait \\ 2_000) do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])

    for piece <- List.wrap(pieces) do
      :gen_tcp.send(socket, piece)
      Process.sleep(if is_list(pieces), do: 20, else: 0)
    end

    answer = read(socket, "", wait)
    :gen_tcp.close(socket)
    answer
  end

  # Until the answers that there are seem complete: the connection may be kept.
  defp read(socket, got, wait) do
    case :gen_tcp.recv(socket, 0, if(got == "", do: wait, else: 100)) do
      {:ok, bytes} -> read(socket, got <> bytes, wait)
      {:error, _} -> got
    end
  end

  @doc "A request; `{status, headers, body}`."
  def request(port, method, target, headers \\ [], body \\ "") do
    head = for {name, value} <- [{"Host", "localhost"} | headers], do: "#{name}: #{value}\r\n"
    length = if body == "", do: "", else: "Content-Length: #{byte_size(body)}\r\n"

    parse(
      raw(
        port,
        "#{method} #{target} HTTP/1.1\r\n#{head}#{length}Connection: close\r\n\r\n#{body}",
        10_000
      )
    )
  end

  def get(port, target, headers \\ []), do: request(port, "GET", target, headers)

  @doc "The status of the first answer, nil where there is none."
  def status("HTTP/1.1 " <> <<status::binary-size(3), _::binary>>), do: String.to_integer(status)
  def status(_), do: nil

  defp parse(answer) do
    [head, body] = String.split(answer, "\r\n\r\n", parts: 2)
    [_ | lines] = String.split(head, "\r\n")

    headers =
      Map.new(lines, fn line -> line |> String.split(": ", parts: 2) |> List.to_tuple() end)

    body = if headers["transfer-encoding"] == "chunked", do: join(body, ""), else: body
    {status(answer), headers, body}
  end

  defp join(chunks, joined) do
    with [size, rest] <- String.split(chunks, "\r\n", parts: 2),
         {size, ""} when size > 0 <- Integer.parse(size, 16),
         true <- byte_size(rest) >= size do
      join(
        binary_part(rest, size + 2, byte_size(rest) - size - 2),
        joined <> binary_part(rest, 0, size)
      )
    else
      _ -> joined
    end
  end
end
