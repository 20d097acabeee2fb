defmodule Wasmex.Stress.ProxyTest do
  @moduledoc false
  # The cases of request smuggling behind real proxies: what the server takes for a request, the proxy has forwarded as
  # one. Where nginx or HAProxy is not installed its tests are skipped, and say so.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  alias Wasmex.{Client, Framing, Proxy}
  alias Wasmex.HTTP.Server

  @moduletag :stress
  @moduletag :tmp_dir
  @moduletag timeout: 300_000

  for kind <- Proxy.kinds() do
    @kind kind
    unless Proxy.program(kind), do: @tag(skip: "#{kind} is not installed: script/bootstrap tools")

    test "behind #{kind}", %{tmp_dir: dir} do
      functions = Path.join(dir, "functions")
      File.mkdir_p!(functions)
      File.cp!("test/guests/component_http/component_http.wasm", Path.join(functions, "f.wasm"))
      server = start_supervised!({Server, dir: functions, port: 0, log: true})
      proxy = Proxy.start(@kind, dir, Server.port(server))

      {_, log} =
        with_log([level: :info], fn ->
          for one <- Framing.cases(), do: try_one(proxy, one)
          # Both logs are written when requests are over.
          Process.sleep(500)
        end)

      forwarded = Proxy.requests(proxy)
      Proxy.stop(proxy)
      # Most cases are stopped on the way; each is followed by two requests that are not.
      assert length(forwarded) > 2 * length(Framing.cases())
      # What the server took for a request was one to the proxy.
      assert served(log) -- forwarded == []
    end
  end

  # What is answered where the connection is kept.
  @last "GET /f/hello?last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

  # After each case the connections to the server are as they should be: nothing is left for the next one on it.
  defp try_one(proxy, {name, bytes, expected}) do
    answers = proxy.port |> talk(bytes <> @last) |> Framing.answers()
    for number <- 1..2, do: canary(proxy, name, number)
    assert_bodies(name, answers, expected)
  end

  defp canary(proxy, name, number) do
    text = "canary #{number}"
    post = "POST /f/echo?canary#{number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    # Closed by the proxy once it has answered, however slow the machine is.
    answer = Client.raw(proxy.port, post <> "Content-Length: #{byte_size(text)}\r\n\r\n" <> text)
    assert {name, [{200, text}]} == {name, Framing.answers(answer)}
  end

  # Where nothing is wrong, what is answered is what stands there. A proxy may refuse more than we do, and mend what we
  # would not.
  defp assert_bodies(name, answers, expected) do
    bodies = for {200, body} <- answers, do: body
    wanted = List.delete(expected, :closed)

    unless Enum.any?(wanted, &is_integer/1) do
      wanted = Enum.map(wanted ++ [:hello], &if(&1 == :hello, do: Framing.hello(), else: &1))
      assert {name, bodies} == {name, Enum.take(wanted, length(bodies))}
    end
  end

  # Reads until nothing has come for a while: what a proxy waits for may never come.
  defp talk(port, bytes) do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
    :gen_tcp.send(socket, bytes)
    answer = read(socket, "")
    :gen_tcp.close(socket)
    answer
  end

  defp read(socket, got) do
    case :gen_tcp.recv(socket, 0, if(got == "", do: 500, else: 100)) do
      {:ok, bytes} -> read(socket, got <> bytes)
      {:error, _} -> got
    end
  end

  # The targets of the requests that the server's log tells of.
  defp served(log) do
    for [_, target] <-
          Regex.scan(~r/ (?:GET|POST|HEAD|PUT|PATCH|DELETE|OPTIONS) (\S+) \d{3} \d+ µs/, log),
        do: target
  end
end
