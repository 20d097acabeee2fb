defmodule Wasmex.Client do
  @moduledoc "A client that sends what it is told to, well formed or not, and reads what comes."

  # Milliseconds without a byte, after which something is wrong, however slow the machine is.
  @patience 60_000

  @doc """
  Sends bytes to a port of this machine, a list in pieces with pauses, and reads until the server closes, or until
  `enough?` says so of what came: connections that are kept are not closed.
  """
  def raw(port, pieces, enough? \\ fn _ -> false end) do
    socket = connect(port)

    # In a process of its own: a server that has had enough answers and closes. Pieces sent then fail, and what was not
    # read before that is lost.
    sender = spawn_link(fn -> send_all(socket, pieces) end)
    answer = read(socket, "", enough?)
    Process.unlink(sender)
    Process.exit(sender, :kill)
    :gen_tcp.close(socket)
    answer
  end

  defp send_all(socket, pieces) when is_list(pieces) do
    for piece <- pieces do
      :gen_tcp.send(socket, piece)
      Process.sleep(20)
    end
  end

  defp send_all(socket, bytes), do: :gen_tcp.send(socket, bytes)

  def connect(port) do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
    socket
  end

  @doc "A socket of a request that was sent."
  def begin(port, target) do
    socket = connect(port)
    :ok = :gen_tcp.send(socket, "GET #{target} HTTP/1.1\r\nHost: x\r\n\r\n")
    socket
  end

  @doc "All that comes until the server closes, or `enough?`."
  def read(socket, got \\ "", enough? \\ fn _ -> false end) do
    case :gen_tcp.recv(socket, 0, @patience) do
      {:ok, bytes} ->
        got = got <> bytes
        if enough?.(got), do: got, else: read(socket, got, enough?)

      {:error, _} ->
        got
    end
  end

  @doc """
  A server that answers each connection with the next of these, `:never` not at all, and tells what it was sent as
  `{:request, bytes}`; its port. It dies with the test.
  """
  def answers(answers) do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(listener)
    test = self()

    spawn_link(fn ->
      for answer <- answers do
        {:ok, socket} = :gen_tcp.accept(listener)
        {:ok, bytes} = :gen_tcp.recv(socket, 0)
        send(test, {:request, bytes})
        if answer == :never, do: :gen_tcp.recv(socket, 0), else: :gen_tcp.send(socket, answer)
        :gen_tcp.close(socket)
      end
    end)

    port
  end

  @doc "A request; `{status, headers, body}`."
  def request(port, method, target, headers \\ [], body \\ "") do
    head = for {name, value} <- [{"Host", "localhost"} | headers], do: "#{name}: #{value}\r\n"
    length = if body == "", do: "", else: "Content-Length: #{byte_size(body)}\r\n"

    parse(
      raw(
        port,
        "#{method} #{target} HTTP/1.1\r\n#{head}#{length}Connection: close\r\n\r\n#{body}"
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
