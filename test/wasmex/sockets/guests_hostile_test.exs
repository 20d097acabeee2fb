defmodule Wasmex.Sockets.GuestsHostileTest do
  # Peers and guests that behave badly: the other side is told, and the VM goes on.
  use ExUnit.Case, async: true

  import Wasmex.SocketGuests

  alias Wasmex.{Guest, Program}

  @loopback [bind: ["127.0.0.1:0-65535"], dial: ["127.0.0.1:0-65535", "udp://127.0.0.1:0-65535"]]

  # A guest that is connected to a socket of ours as `c`.
  defp connected(version \\ :v2, opts \\ []) do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(listener)
    pid = interactive(version, @loopback ++ opts)
    assert say(pid, "open c inet stream") == "ok"
    assert say(pid, "connect c 127.0.0.1 #{port}") == "ok"
    {:ok, socket} = :gen_tcp.accept(listener, 60_000)
    :gen_tcp.close(listener)
    {pid, socket}
  end

  defp reset(socket) do
    :ok = :inet.setopts(socket, linger: {true, 0})
    :gen_tcp.close(socket)
  end

  describe "a peer" do
    test "that resets" do
      {pid, socket} = connected()
      reset(socket)
      assert say(pid, "recv c 10") == "connreset"
      # Told once; then there is nothing any more.
      assert say(pid, "recv c 10") == ~s|ok 0 ""|
      assert say(pid, "send c x") == "pipe 0"
      assert say(pid, "write c x") == "pipe 0"
      assert say(pid, "close c") == "ok"
      Program.stop(pid)
    end

    test "that resets while the guest waits" do
      {pid, socket} = connected()
      tell(pid, "recv c 10")
      Process.sleep(20)
      reset(socket)
      assert hear(pid) == "connreset"
      Program.stop(pid)
    end

    test "that resets while the guest polls" do
      {pid, socket} = connected()
      tell(pid, "poll - c:r")
      Process.sleep(20)
      reset(socket)
      assert "ok 1 c:r" <> _ = hear(pid)
      Program.stop(pid)
    end

    test "that closes its half still reads" do
      {pid, socket} = connected()
      :ok = :gen_tcp.shutdown(socket, :write)
      assert say(pid, "recv c 10") == ~s|ok 0 ""|
      assert say(pid, "send c still") == "ok 5"
      assert recv(socket, 5) == "still"
      Program.stop(pid)
    end

    test "that never reads lets the guest know, or wait" do
      {pid, socket} = connected()
      assert say(pid, "flags c 4") == "ok"
      assert "again " <> written = say(pid, "fill c 1000000000")
      assert String.to_integer(written) < 100_000_000
      assert say(pid, "poll 20 c:w") == "ok 1 clock"
      tell(pid, "poll - c:w")
      _ = recv(socket, String.to_integer(written))
      assert hear(pid) == "ok 1 c:w"
      assert say(pid, "flags c 0") == "ok"
      tell(pid, "fill c 50000000")
      assert byte_size(recv(socket, 50_000_000)) == 50_000_000
      assert hear(pid) == "ok 50000000"
      Program.stop(pid)
    end

    test "that never reads does not keep a program beyond its deadline" do
      {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
      {:ok, port} = :inet.port(listener)
      lines = ["open c inet stream", "connect c 127.0.0.1 #{port}", "fill c 1000000000"]

      assert {:error, %Wasmex.Error{reason: :timeout}} =
               Wasmex.run(path("c_script/script_v2"), lines, [timeout: 500] ++ @loopback)

      {:ok, socket} = :gen_tcp.accept(listener, 60_000)
      assert until_closed(socket) == :closed
    end

    test "that comes by thousands and leaves at once" do
      {pid, port} = go_server()

      1..8
      |> Enum.map(fn _ ->
        Task.async(fn ->
          for _ <- 1..250, do: port |> connect(linger: {true, 0}) |> :gen_tcp.close()
        end)
      end)
      |> Task.await_many(120_000)

      assert {200, "hello\n"} = get(port, "/hello")
      Program.stop(pid)
    end
  end

  defp until_closed(socket) do
    case :gen_tcp.recv(socket, 0, 60_000) do
      {:ok, _} -> until_closed(socket)
      {:error, reason} when reason in [:closed, :econnreset] -> :closed
    end
  end

  describe "a guest" do
    test "that opens 100,000 sockets gets as many as it may have" do
      for version <- [:v1, :v2] do
        assert ["mfile 1000", "mfile"] =
                 script(
                   version,
                   ["repeat 100000 open s inet stream", "open s inet dgram"],
                   @loopback
                 )

        assert ["mfile 7", "ok", "ok"] =
                 script(
                   version,
                   ["repeat 100 open s inet stream", "close s", "open t inet stream"],
                   [max_sockets: 7] ++ @loopback
                 )
      end
    end

    test "that accepts more than it may have leaves the rest waiting, and goes on when it closes one" do
      port = free_port()
      pid = interactive(:v2, @loopback ++ [max_sockets: 3])
      assert say(pid, "open l inet stream") == "ok"
      assert say(pid, "bind l 127.0.0.1 #{port}") == "ok"
      assert say(pid, "listen l 64") == "ok"
      sockets = for _ <- 1..4, do: connect(port)
      assert say(pid, "accept a l") == "ok"
      assert say(pid, "accept b l") == "ok"
      assert say(pid, "accept c l") == "mfile"
      assert say(pid, "close a") == "ok"
      assert say(pid, "accept a l") == "ok"
      assert length(sockets) == 4
      Program.stop(pid)
    end

    test "that accepts for ever, asking again and again, ends at its deadline" do
      lines = [
        "open l inet stream",
        "bind l 127.0.0.1 0",
        "listen l",
        "flags l 4",
        "repeat 2000000000 accept a l"
      ]

      assert {:error, %Wasmex.Error{reason: :timeout}} =
               Wasmex.run(path("c_script/script_v2"), lines, [timeout: 300] ++ @loopback)
    end

    test "that is killed leaves no connection open, nor its port" do
      {pid, port} = go_server()
      sockets = for _ <- 1..50, do: connect(port)
      assert {200, "hello\n"} = get(port, "/hello")
      Process.unlink(pid)
      Process.exit(pid, :kill)
      for socket <- sockets, do: assert(until_closed(socket) == :closed)

      Guest.wait_until(fn ->
        match?({:error, :econnrefused}, :gen_tcp.connect({127, 0, 0, 1}, port, []))
      end)
    end

    test "whose owner ends leaves no connection open either" do
      test = self()

      owner =
        spawn(fn ->
          {_pid, port} = go_server()
          send(test, {:port, port})
          Process.sleep(:infinity)
        end)

      assert_receive {:port, port}, 60_000
      socket = connect(port)
      Process.exit(owner, :kill)
      assert until_closed(socket) == :closed
    end

    test "that traps in the middle of a connection leaves none" do
      {pid, socket} = connected(:v2, max_output: 2_000)
      # More output than it may make ends it.
      for _ <- 1..40, do: Program.write(pid, "note #{String.duplicate("x", 100)}\n")
      assert until_closed(socket) == :closed
      assert {:error, %Wasmex.Error{reason: :output_limit}} = ended(pid)
    end

    test "with pointers that point nowhere" do
      far = "0x7ffffff0"

      calls = [
        "sock_open 1 2 #{far}",
        "sock_bind S #{far} 1",
        "sock_connect S #{far} 1",
        "sock_accept S 0 #{far}",
        "sock_accept S #{far}",
        "sock_send S #{far} 1 0 #{far}",
        "sock_send S #{far} 0x7fffffff 0 1024",
        "sock_send S #{far} 0xffffffff 0 1024",
        "sock_recv S #{far} 1 0 #{far} #{far}",
        "sock_send_to S #{far} 1 #{far} 1 0 #{far}",
        "sock_recv_from S #{far} 1 #{far} 0 #{far} #{far} #{far}",
        "sock_getsockopt S 0 2 #{far} 4",
        "sock_setsockopt S 0 0 #{far} 4",
        "sock_getlocaladdr S #{far} #{far} #{far}",
        "sock_getpeeraddr S #{far} #{far} #{far}",
        "sock_getaddrinfo #{far} 10 #{far} 10 #{far} #{far} 10 #{far}",
        "sock_getaddrinfo 1024 0x7fffffff 1024 0x7fffffff 1024 1024 0x7fffffff 1024",
        "fd_read S #{far} 1 #{far}",
        "fd_write S #{far} 1 #{far}",
        "fd_write S #{far} 0xffffffff #{far}",
        "fd_fdstat_get S #{far}",
        "poll_oneoff #{far} #{far} 1 #{far}",
        "poll_oneoff 1024 1024 0x7fffffff 1024",
        "poll_oneoff 1024 1024 0 1024"
      ]

      port = free_port()
      {:ok, listener} = :gen_tcp.listen(port, ip: {127, 0, 0, 1}, backlog: 128)

      for version <- [:v1, :v2], call <- calls do
        lines = ["open s inet stream", "connect s 127.0.0.1 #{port}", "number s", "raw " <> call]
        # The numbers of sockets are the lowest that are free, as POSIX has it.
        lines = Enum.map(lines, &String.replace(&1, "S", "3"))

        case Wasmex.run(path("c_script/script_#{version}"), lines, [timeout: 5_000] ++ @loopback) do
          {:ok, run} ->
            refute run.stdout |> String.split("\n", trim: true) |> List.last() =~ ~r/-> ok/, call

          {:error, %Wasmex.Trap{}} ->
            :ok

          {:error, %Wasmex.Error{reason: reason}} ->
            assert reason != :timeout, call
        end
      end

      :gen_tcp.close(listener)
    end

    test "with calls made of any numbers" do
      names =
        ~w(sock_open sock_bind sock_listen sock_connect sock_send sock_recv sock_send_to sock_shutdown sock_getsockopt
        sock_setsockopt sock_getaddrinfo sock_accept sock_recv_from sock_getlocaladdr sock_getpeeraddr fd_fdstat_get poll_oneoff)

      for version <- [:v1, :v2], seed <- 1..10 do
        :rand.seed(:exsss, {seed, 2, 3})
        open = for kind <- ~w(stream dgram stream), do: "open s inet #{kind}"

        lines =
          for _ <- 1..60 do
            numbers =
              for _ <- 1..8,
                  do:
                    Enum.random([
                      0,
                      1,
                      2,
                      3,
                      4,
                      5,
                      6,
                      16,
                      128,
                      1024,
                      2048,
                      65_536,
                      70_000,
                      -1,
                      0x7FFFFFFF
                    ])

            "raw #{Enum.random(names)} #{Enum.join(numbers, " ")}"
          end

        # Whatever it says: the guest may have written over its own memory.
        assert {ok_or_error, _} =
                 Wasmex.run(
                   path("c_script/script_#{version}"),
                   open ++ lines,
                   [timeout: 300] ++ @loopback
                 )

        assert ok_or_error in [:ok, :error]
      end
    end
  end

  test "where the machine has no IPv6, the guest is told so" do
    outcomes =
      script(:v2, ["open s inet6 stream", "bind s ::1 0", "listen s", "local s"],
        bind: ["[::1]:0-65535"]
      )

    case :gen_tcp.listen(0, [:inet6, ip: {0, 0, 0, 0, 0, 0, 0, 1}]) do
      {:ok, socket} ->
        :gen_tcp.close(socket)
        assert ["ok", "ok", "ok", "ok 0:0:0:0:0:0:0:1 " <> _] = outcomes

      {:error, _} ->
        assert Enum.any?(outcomes, &(&1 in ["afnosupport", "addrnotavail"]))
    end
  end
end
