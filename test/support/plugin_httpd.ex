defmodule Wasmex.PluginHttpd do
  @moduledoc "The server that the cases of test/guests/plugins talk to: one request a connection."

  @doc "Starts it; returns its port. It ends with the process that started it."
  def start do
    {:ok, socket} =
      :gen_tcp.listen(0, [
        :binary,
        packet: :http_bin,
        active: false,
        reuseaddr: true,
        ip: {127, 0, 0, 1}
      ])

    {:ok, port} = :inet.port(socket)
    spawn_link(fn -> accept(socket) end)
    port
  end

  @doc "A client, for `http:`."
  def get(request) do
    headers = for {name, value} <- request.headers, do: {to_charlist(name), to_charlist(value)}
    method = request.method |> String.downcase() |> String.to_existing_atom()

    target =
      if request.body == "" and method not in [:post, :put],
        do: {request.url, headers},
        else: {request.url, headers, ~c"application/octet-stream", request.body}

    case :httpc.request(method, target, [autoredirect: true], body_format: :binary) do
      {:ok, {{_, status, _}, headers, body}} ->
        headers = for {name, value} <- headers, do: {to_string(name), to_string(value)}
        {:ok, %{status: status, headers: headers, body: body}}

      error ->
        error
    end
  end

  defp accept(listener) do
    case :gen_tcp.accept(listener) do
      {:ok, socket} ->
        serve_one(socket)
        accept(listener)

      {:error, :closed} ->
        :ok
    end
  end

  defp serve_one(socket) do
    server = spawn(fn -> receive(do: (:go -> serve(socket))) end)
    :ok = :gen_tcp.controlling_process(socket, server)
    send(server, :go)
  end

  defp serve(socket) do
    {:ok, {:http_request, method, {:abs_path, target}, _}} = :gen_tcp.recv(socket, 0)
    headers = headers(socket, [])
    :inet.setopts(socket, packet: :raw)
    length = headers |> Map.new() |> Map.get("content-length", "0") |> String.to_integer()
    body = body(socket, headers, length)
    uri = URI.parse(target)
    query = URI.decode_query(uri.query || "")
    {status, own, out} = answer(uri.path, query, {to_string(method), target, headers, body})

    lines =
      for {name, value} <- own ++ [{"Content-Length", byte_size(out)}],
          do: "#{name}: #{value}\r\n"

    out = if to_string(method) == "HEAD", do: "", else: out
    :gen_tcp.send(socket, ["HTTP/1.1 #{status} X\r\nConnection: close\r\n", lines, "\r\n", out])
    :gen_tcp.close(socket)
  end

  defp headers(socket, found) do
    case :gen_tcp.recv(socket, 0) do
      {:ok, {:http_header, _, name, _, value}} ->
        headers(socket, [{name |> to_string() |> String.downcase(), value} | found])

      {:ok, :http_eoh} ->
        found
    end
  end

  defp body(socket, headers, length) do
    cond do
      {"transfer-encoding", "chunked"} in headers -> chunks(socket, "", "")
      length > 0 -> socket |> :gen_tcp.recv(length) |> elem(1)
      true -> ""
    end
  end

  defp chunks(socket, buffer, done) do
    with [size, rest] <- String.split(buffer, "\r\n", parts: 2),
         {size, ""} <- Integer.parse(size, 16),
         true <- byte_size(rest) >= size + 2 do
      {chunk, "\r\n" <> rest} = :erlang.split_binary(rest, size)
      if size == 0, do: done, else: chunks(socket, rest, done <> chunk)
    else
      _ -> chunks(socket, buffer <> (socket |> :gen_tcp.recv(0) |> elem(1)), done)
    end
  end

  defp answer("/echo", _query, {method, target, headers, body}) do
    headers = headers |> Map.new() |> Map.delete("host")
    echo = %{"method" => method, "path" => target, "headers" => headers, "body" => body}
    {200, [{"Content-Type", "application/json"}], Wasmex.JSON.encode_compact(echo)}
  end

  defp answer("/redirect", query, _request),
    do: {Map.get(query, "code", "302"), [{"Location", query["to"]} | text()], ""}

  defp answer("/slow", %{"ms" => ms}, _request) do
    Process.sleep(String.to_integer(ms))
    {200, text(), "slow"}
  end

  defp answer("/multi", _query, _request) do
    {200, text() ++ [{"X-Multi", "one"}, {"X-Multi", "two"}, {"X-Mixed-Case", "Yes"}], "multi"}
  end

  defp answer("/status", %{"code" => code}, _request), do: {code, text(), "status #{code}"}
  defp answer("/empty", _query, _request), do: {200, text(), ""}

  defp answer("/big", %{"n" => n}, _request),
    do: {200, text(), String.duplicate("x", String.to_integer(n))}

  defp answer("/module", %{"path" => path}, _request), do: {200, text(), File.read!(path)}
  defp answer(_path, _query, _request), do: {404, text(), "nothing here"}

  defp text, do: [{"Content-Type", "text/plain"}]
end
