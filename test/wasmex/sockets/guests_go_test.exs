defmodule Wasmex.Sockets.GuestsGoTest do
  # Go's net/http as a guest, by the second version of WasmEdge's sockets.
  use ExUnit.Case, async: true

  import Wasmex.SocketGuests

  alias Wasmex.{Client, Origin, Program}

  describe "a server" do
    setup do
      {pid, port} = go_server()
      %{pid: pid, port: port}
    end

    test "answers, knows where requests come from, and ends when it wants to", %{
      pid: pid,
      port: port
    } do
      assert {200, "Hello from Go, GET /a from 127.0.0.1:" <> peer} = get(port, "/a")
      assert {_, "\n"} = Integer.parse(peer)
      assert {200, "bye\n"} = get(port, "/quit")
      assert ended(pid) == {:exit_status, 0}
    end

    test "keeps a connection for further requests", %{port: port} do
      socket = Client.connect(port)

      for n <- 1..5 do
        :ok = :gen_tcp.send(socket, "GET /#{n} HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = Client.read(socket, "", &(&1 =~ "from 127.0.0.1"))
        assert answer =~ "GET /#{n} from"
      end

      :gen_tcp.close(socket)
    end

    test "answers pipelined requests in their order", %{port: port} do
      requests = for n <- 1..20, do: "GET /n#{n}, HTTP/1.1\r\nHost: x\r\n\r\n"
      all = Client.raw(port, Enum.join(requests), &String.contains?(&1, "/n20,"))

      assert Regex.scan(~r/\/n(\d+),/, all, capture: :all_but_first) |> List.flatten() ==
               Enum.map(1..20, &"#{&1}")
    end

    test "answers others while handlers wait", %{port: port} do
      slow = for _ <- 1..20, do: Task.async(fn -> get(port, "/slow") end)
      assert {200, "hello\n"} = get(port, "/hello")
      assert Enum.all?(Task.await_many(slow, 60_000), &(&1 == {200, "slow done\n"}))
    end

    test "reads and writes bodies larger than any buffer", %{port: port} do
      body = :crypto.strong_rand_bytes(3_000_000)
      socket = Client.connect(port)
      head = "POST /echo HTTP/1.0\r\nContent-Length: #{byte_size(body)}\r\n\r\n"
      sent = Task.async(fn -> :gen_tcp.send(socket, [head, body]) end)
      assert body(Client.read(socket)) == body
      assert Task.await(sent, 60_000) == :ok

      assert byte_size(body(Client.raw(port, "GET /bytes?n=10000000 HTTP/1.0\r\n\r\n"))) ==
               10_000_000
    end

    defp body(answer), do: answer |> String.split("\r\n\r\n", parts: 2) |> List.last()

    test "goes on after clients that reset, half-close and leave in the middle", %{port: port} do
      for _ <- 1..20 do
        socket = Client.connect(port)
        :ok = :gen_tcp.send(socket, "GET /bytes?n=50000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        :inet.setopts(socket, linger: {true, 0})
        :gen_tcp.close(socket)
      end

      half = Client.connect(port)
      :ok = :gen_tcp.send(half, "GET /half HTTP/1.0\r\n\r\n")
      :ok = :gen_tcp.shutdown(half, :write)
      assert Client.read(half) =~ "GET /half"

      for _ <- 1..5,
          do: Client.connect(port) |> tap(&:gen_tcp.send(&1, "GET /")) |> :gen_tcp.close()

      assert {200, "hello\n"} = get(port, "/hello")
    end

    test "survives a panic in a handler", %{port: port} do
      assert Client.raw(port, "GET /panic HTTP/1.0\r\n\r\n") == ""
      assert {200, "hello\n"} = get(port, "/hello")
    end

    test "is gone with its port when its owner is", %{pid: pid, port: port} do
      held = Client.connect(port)
      :ok = Program.stop(pid)
      assert Client.read(held) == ""
      assert {:error, :econnrefused} = :gen_tcp.connect({127, 0, 0, 1}, port, [])
    end
  end

  test "a client gets pages, keeps its connection, and says why it can't" do
    {_pid, port} = go_server()
    closed = free_port()
    url = "http://127.0.0.1:#{port}"

    {:ok, run} =
      Wasmex.run(
        path("go/program"),
        ["get", "#{url}/one", "#{url}/two", "http://127.0.0.1:#{closed}/"],
        dial: ["127.0.0.1:#{port}", "127.0.0.1:#{closed}"]
      )

    assert [
             "200 Hello from Go, GET /one from " <> from,
             "200 Hello from Go, GET /two from " <> from,
             refused
           ] = String.split(run.stdout, "\n", trim: true)

    assert refused =~ "connection refused" or refused =~ "Connection refused"
  end

  test "nothing is granted by default" do
    {:ok, run} = Wasmex.run(path("go/program"), ["serve", "tcp", "127.0.0.1:0"])
    assert {run.status, run.stdout =~ "ermission denied"} == {1, true}
    port = free_port()
    {:ok, run} = Wasmex.run(path("go/program"), ["get", "http://127.0.0.1:#{port}/"])
    assert run.stdout =~ "ermission denied"
    {:ok, run} = Wasmex.run(path("go/program"), ["lookup", "localhost:80"])
    assert run.status == 1
  end

  test "a server's handler dials, to where it may" do
    origin = Origin.answer(Origin.response("from elsewhere"))
    other = free_port()
    {_pid, port} = go_server(dial: ["127.0.0.1:#{origin}"])
    assert {200, "from elsewhere"} = get(port, "/get?url=http://127.0.0.1:#{origin}/x")
    assert {502, why} = get(port, "/get?url=http://127.0.0.1:#{other}/x")
    assert why =~ "ermission denied"
  end

  test "names are looked up, where that is granted" do
    {:ok, run} = Wasmex.run(path("go/program"), ["lookup", "localhost:80"], dns: ["localhost"])
    assert {run.status, run.stdout =~ "127.0.0.1"} == {0, true}

    {:ok, run} =
      Wasmex.run(path("go/program"), ["lookup", "elsewhere.invalid:80"], dns: ["localhost"])

    assert run.status == 1
  end

  test "a client dials by name" do
    {_pid, port} = go_server()

    {:ok, run} =
      Wasmex.run(path("go/program"), ["get", "http://localhost:#{port}/named"],
        dial: ["localhost:#{port}"]
      )

    assert run.stdout =~ "200 Hello from Go, GET /named"
  end

  test "datagrams" do
    {:ok, socket} = :gen_udp.open(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(socket)

    guest =
      Task.async(fn ->
        Wasmex.run(path("go/program"), ["udp", "127.0.0.1:#{port}", "ping"],
          dial: ["udp://127.0.0.1:#{port}"]
        )
      end)

    {:ok, {address, from, "ping"}} = :gen_udp.recv(socket, 0, 60_000)
    :ok = :gen_udp.send(socket, address, from, "pong")
    {:ok, run} = Task.await(guest, 60_000)
    assert run.stdout == "to 127.0.0.1:#{port}\ngot pong\n"
  end

  test "a unix socket is listened at" do
    file = Path.join(System.tmp_dir!(), "wasmex-#{System.unique_integer([:positive])}.sock")
    on_exit(fn -> File.rm(file) end)

    {pid, [^file]} =
      start("go/program", ["serve", "unix", file], ~r/listening on (\S+)\n/,
        bind: ["unix://#{file}"]
      )

    {:ok, socket} = :gen_tcp.connect({:local, file}, 0, [:binary, active: false])
    :ok = :gen_tcp.send(socket, "GET /hello HTTP/1.0\r\n\r\n")
    assert Client.read(socket) =~ "hello\n"
    Program.stop(pid)
  end
end
