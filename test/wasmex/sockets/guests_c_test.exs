defmodule Wasmex.Sockets.GuestsCTest do
  # C by hand against both versions of WasmEdge's sockets: every function, with its errors.
  use ExUnit.Case, async: true

  import Wasmex.SocketGuests

  alias Wasmex.Program

  @loopback [bind: ["127.0.0.1:0-65535"], dial: ["127.0.0.1:0-65535", "udp://127.0.0.1:0-65535"]]

  defp echo_port do
    {:ok, listener} =
      :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}, backlog: 64])

    {:ok, port} = :inet.port(listener)
    spawn_link(fn -> accept_all(listener) end)
    port
  end

  defp accept_all(listener) do
    {:ok, socket} = :gen_tcp.accept(listener)

    spawn_link(fn -> receive(do: (:go -> echo(socket))) end)
    |> tap(&:gen_tcp.controlling_process(socket, &1))
    |> send(:go)

    accept_all(listener)
  end

  defp echo(socket) do
    case :gen_tcp.recv(socket, 0) do
      {:ok, bytes} ->
        :gen_tcp.send(socket, bytes)
        echo(socket)

      {:error, _} ->
        :gen_tcp.close(socket)
    end
  end

  for version <- [:v1, :v2] do
    describe "#{version}:" do
      @version version

      test "a rule for port 0 lets the guest listen at the port that the system chose, and nowhere else" do
        lines = [
          "open l inet stream",
          "bind l 127.0.0.1 0",
          "listen l",
          "open m inet stream",
          "listen m"
        ]

        outcomes = script(@version, lines, bind: ["127.0.0.1:0"])
        assert outcomes == ["ok", "ok", "ok", "ok", "acces"]
        assert script(@version, Enum.take(lines, 2), bind: ["127.0.0.2:0"]) == ["ok", "acces"]

        # To connect, the guest may let the system choose an address; that is none to listen at.
        lines = ["open s inet stream", "bind s 0.0.0.0 0", "listen s"]
        assert script(@version, lines, dial: ["127.0.0.1"]) == ["ok", "ok", "acces"]
      end

      test "a connection to itself" do
        pid = interactive(@version, @loopback)
        assert say(pid, "open l inet stream") == "ok"
        assert say(pid, "setopt l 0 0 1") == "ok"
        assert say(pid, "getopt l 0 0") == "ok 1"
        assert say(pid, "bind l 127.0.0.1 0") == "ok"
        assert say(pid, "listen l") == "ok"
        assert say(pid, "flags l 4") == "ok"
        assert "ok 127.0.0.1 " <> port = say(pid, "local l")
        assert say(pid, "accept a l") == "again"
        assert say(pid, "poll 0 l:r") == "ok 1 clock"
        assert say(pid, "open c inet stream") == "ok"
        assert say(pid, "connect c 127.0.0.1 #{port}") == "ok"
        assert say(pid, "poll 60000 l:r") == "ok 1 l:r"
        assert say(pid, "accept a l") == "ok"
        assert "ok 127.0.0.1 " <> from = say(pid, "peer a")
        assert say(pid, "local c") == "ok 127.0.0.1 #{from}"
        assert say(pid, "peer c") == "ok 127.0.0.1 #{port}"
        assert say(pid, "local a") == "ok 127.0.0.1 #{port}"
        assert say(pid, "fdstat a") =~ "type 6"
        assert say(pid, "filestat a") == "ok type 6"
        assert say(pid, "getopt c 0 2") == "ok 0"

        assert say(pid, "send c hello") == "ok 5"
        assert say(pid, "poll 60000 a:r a:w") =~ "a:w"
        assert say(pid, "poll 60000 a:r") == "ok 1 a:r"
        # Looked at, the bytes stay.
        assert say(pid, "recv a 3 1") == ~s|ok 3 "hel"|
        assert say(pid, "recv a 10") == ~s|ok 5 "hello"|
        assert say(pid, "writev a ab cde") == "ok 5"
        assert say(pid, "poll 60000 c:r") == "ok 1 c:r"
        assert say(pid, "readv c 2 8") == ~s|ok 5 "abcde"|

        assert say(pid, "shutdown c write") == "ok"
        assert say(pid, "poll 60000 a:r") =~ "a:r"
        assert say(pid, "read a 10") == ~s|ok 0 ""|
        assert say(pid, "write a last") == "ok 4"
        assert say(pid, "close a") == "ok"
        assert say(pid, "drain c") == "ok 4"
        assert say(pid, "close c") == "ok"
        assert say(pid, "close l") == "ok"
        Program.stop(pid)
      end

      test "calls that block wait, and the program with them" do
        port = free_port()
        pid = interactive(@version, @loopback)
        assert say(pid, "open l inet stream") == "ok"
        assert say(pid, "bind l 127.0.0.1 #{port}") == "ok"
        assert say(pid, "listen l") == "ok"
        tell(pid, "accept a l")
        socket = connect(port)
        assert hear(pid) == "ok"
        tell(pid, "recv a 100")
        :ok = :gen_tcp.send(socket, "after a while")
        assert hear(pid) == ~s|ok 13 "after a while"|
        tell(pid, "read a 100")
        :gen_tcp.close(socket)
        assert hear(pid) == ~s|ok 0 ""|
        Program.stop(pid)
      end

      test "a connection that does not block is in progress, then there" do
        port = echo_port()

        assert [
                 "ok",
                 "ok",
                 "inprogress",
                 "ok 1 c:w",
                 "ok 0",
                 "ok 127.0.0.1 " <> _,
                 "ok 2",
                 "ok 1 c:r",
                 ~s|ok 2 "hi"|,
                 "again"
               ] =
                 script(
                   @version,
                   [
                     "open c inet stream",
                     "flags c 4",
                     "connect c 127.0.0.1 #{port}",
                     "poll 60000 c:w",
                     "getopt c 0 2"
                   ] ++
                     ["peer c", "send c hi", "poll 60000 c:r", "recv c 10", "recv c 10"],
                   @loopback
                 )
      end

      test "what nobody listens at refuses" do
        port = free_port()

        assert ["ok", "connrefused", "ok", "ok", "inprogress", "ok 1 d:w" <> _, "ok 14"] =
                 script(
                   @version,
                   [
                     "open c inet stream",
                     "connect c 127.0.0.1 #{port}",
                     "open d inet stream",
                     "flags d 4"
                   ] ++
                     ["connect d 127.0.0.1 #{port}", "poll 60000 d:w", "getopt d 0 2"],
                   @loopback
                 )
      end

      test "datagrams, to one and to many" do
        {:ok, peer} = :gen_udp.open(0, [:binary, active: false, ip: {127, 0, 0, 1}])
        {:ok, port} = :inet.port(peer)
        pid = interactive(@version, @loopback)
        assert say(pid, "open u inet dgram") == "ok"
        assert say(pid, "fdstat u") =~ "type 5"
        assert say(pid, "bind u 127.0.0.1 0") == "ok"
        assert "ok 127.0.0.1 " <> own = say(pid, "local u")
        assert say(pid, "sendto u 127.0.0.1 #{port} hello") == "ok 5"
        assert {:ok, {{127, 0, 0, 1}, from, "hello"}} = :gen_udp.recv(peer, 0, 60_000)
        assert "#{from}" == own
        :ok = :gen_udp.send(peer, {127, 0, 0, 1}, from, "a longer answer")
        assert say(pid, "poll 60000 u:r") == "ok 1 u:r"
        assert say(pid, "recvfrom u 100") =~ ~s|15 "a longer answer"|
        # What does not fit is lost.
        :ok = :gen_udp.send(peer, {127, 0, 0, 1}, from, "cut here")
        assert say(pid, "recv u 3") =~ ~s|ok 3 "cut"|
        assert say(pid, "connect u 127.0.0.1 #{port}") == "ok"
        assert say(pid, "write u connected") == "ok 9"
        assert {:ok, {_, _, "connected"}} = :gen_udp.recv(peer, 0, 60_000)
        assert say(pid, "setopt u 0 4 1") == "ok"
        Program.stop(pid)
      end

      test "names" do
        assert ["ok " <> found] =
                 script(@version, ["lookup localhost 80 inet stream"], dns: ["localhost"])

        assert found =~ "127.0.0.1 80"
        assert [refused] = script(@version, ["lookup localhost 80 inet stream"])
        assert refused =~ ~r/^(acces|noent|again|notcapable)/
        assert [unknown] = script(@version, ["lookup nowhere.invalid 80 inet stream"], dns: ["*"])
        refute unknown =~ "ok"
      end

      test "services have names, too" do
        lines = ["lookup 10.1.2.3 postgresql", "lookup 10.1.2.3 nonsense"]
        assert ["ok 1 10.1.2.3 5432 any", "inval 0"] = script(@version, lines)
      end

      test "a number that is not open is an event with an error, beside others" do
        assert script(@version, ["poll 0 999:r 998:w"]) == ["ok 3 999:r:badf 998:w:badf clock"]
      end

      test "who sent a datagram may be answered, and nobody else" do
        pid = interactive(@version, bind: ["udp://127.0.0.1:0"])
        assert say(pid, "open u inet dgram") == "ok"
        assert say(pid, "bind u 127.0.0.1 0") == "ok"
        "ok 127.0.0.1 " <> port = say(pid, "local u")
        {:ok, peer} = :gen_udp.open(0, [:binary, active: false, ip: {127, 0, 0, 1}])
        {:ok, own} = :inet.port(peer)
        assert say(pid, "sendto u 127.0.0.1 #{own} x") == "acces 0"
        :ok = :gen_udp.send(peer, {127, 0, 0, 1}, String.to_integer(port), "ask")
        assert say(pid, "recvfrom u 10") =~ ~s|3 "ask"|
        assert say(pid, "sendto u 127.0.0.1 #{own} answer") == "ok 6"
        assert {:ok, {_, _, "answer"}} = :gen_udp.recv(peer, 0, 60_000)
        assert say(pid, "sendto u 127.0.0.2 #{own} x") == "acces 0"
        Program.stop(pid)
      end

      test "what is not granted is refused, and nothing else happens" do
        port = echo_port()

        # Who may reach nothing gets no socket either.
        assert ["acces", "acces"] = script(@version, ["open c inet stream", "open u inet dgram"])

        assert ["ok", "acces", "acces", "ok", "acces 0", "acces"] =
                 script(
                   @version,
                   ["open c inet stream", "connect c 127.0.0.1 #{port}", "bind c 127.0.0.1 0"] ++
                     ["open u inet dgram", "sendto u 127.0.0.1 #{port} x", "bind u 127.0.0.1 0"],
                   dial: ["10.0.0.0/8"]
                 )
      end

      test "descriptors of sockets where none are expected, and numbers that are none" do
        port = echo_port()

        expected = [
          {"open s inet stream", "ok"},
          {"connect s 127.0.0.1 #{port}", "ok"},
          {"seek s", "spipe"},
          {"tell s", "spipe"},
          {"pread s", "spipe"},
          {"pwrite s", "spipe"},
          {"readdir s", "notdir"},
          {"prestat s", "badf"},
          {"recv 999 1", "badf"},
          {"send 999 x", "badf"},
          {"accept x 999", "badf"},
          {"shutdown 999 both", "badf"},
          {"bind 999 127.0.0.1 0", "badf"},
          {"listen 999", "badf"},
          {"connect 999 127.0.0.1 1", "badf"},
          {"local 999", "badf"},
          {"peer 999", "badf"},
          {"getopt 999 0 2", "badf"},
          {"setopt 999 0 0 1", "badf"},
          {"poll 60000 999:r", "ok"},
          {"accept x 1", "notsock"},
          {"recv 0 1", "notsock"},
          {"send 1 x", "notsock"},
          {"shutdown 1 both", "notsock"},
          {"close s", "ok"},
          {"close s", "badf"},
          {"send s x", "badf"},
          {"read s 1", "badf"},
          {"write s x", "badf"},
          {"fdstat s", "badf"},
          {"flags s 4", "badf"},
          {"sync s", "badf"}
        ]

        lines = Enum.map(expected, &elem(&1, 0))
        assert Enum.zip(lines, firsts(script(@version, lines, @loopback))) == expected
      end

      test "states that do not fit" do
        lines = ["open s inet stream", "peer s", "send s x", "shutdown s both", "shutdown s 0"]

        assert ["ok", "notconn", unsent, "notconn", "inval"] =
                 firsts(script(@version, lines, @loopback))

        assert unsent in ["notconn", "pipe"]
      end

      test "families and types that do not exist" do
        [family, type] =
          firsts(
            script(@version, ["raw sock_open 99 2 1024", "raw sock_open 1 99 1024"], @loopback)
          )

        assert family in ["afnosupport", "inval"]
        assert type in ["inval", "protonosupport", "prototype", "notsup"]
      end

      test "a port that is taken, an address of another machine" do
        port = echo_port()

        assert ["ok", "addrinuse", "addrnotavail"] =
                 script(
                   @version,
                   ["open s inet stream", "bind s 127.0.0.1 #{port}", "bind s 203.0.113.7 0"],
                   bind: ["127.0.0.1:0-65535", "203.0.113.7:0"]
                 )
      end

      test "a socket takes another number" do
        port = echo_port()

        assert ["ok", "ok", "ok", "ok", "badf", "ok 2", ~s|ok 2 "hi"|] =
                 script(
                   @version,
                   ["open s inet stream", "open t inet stream", "connect s 127.0.0.1 #{port}"] ++
                     ["renumber s t", "recv s 1", "send t hi", "recv t 10"],
                   @loopback
                 )
      end

      test "one poll waits for sockets, standard input and a clock" do
        port = free_port()
        pid = interactive(@version, @loopback)
        assert say(pid, "open l inet stream") == "ok"
        assert say(pid, "bind l 127.0.0.1 #{port}") == "ok"
        assert say(pid, "listen l") == "ok"
        assert say(pid, "poll 20 l:r 0:r") == "ok 1 clock"
        tell(pid, "poll 60000 l:r 0:r")
        socket = connect(port)
        assert hear(pid) == "ok 1 l:r"
        assert say(pid, "accept a l") == "ok"
        tell(pid, "poll - a:r l:r 0:r")
        :ok = :gen_tcp.send(socket, "x")
        assert hear(pid) == "ok 1 a:r"
        assert say(pid, "recv a 1") == ~s|ok 1 "x"|
        tell(pid, "poll - a:r l:r 0:r")
        tell(pid, "note")
        assert hear(pid) == "ok 1 0:r"
        assert hear(pid) == "ok"
        Program.stop(pid)
      end
    end
  end

  test "the second version says unix paths and takes addresses with their family in front" do
    file = Path.join(System.tmp_dir!(), "wasmex-c-#{System.unique_integer([:positive])}.sock")
    on_exit(fn -> File.rm(file) end)
    pid = interactive(:v2, bind: ["unix://#{file}", "127.0.0.1:0"], dial: ["unix://#{file}"])
    assert say(pid, "open l unix stream") == "ok"
    assert say(pid, "bind l unix:#{file} 0") == "ok"
    assert say(pid, "listen l") == "ok"
    assert say(pid, "local l") == "ok unix:#{file} 0"
    assert say(pid, "open c unix stream") == "ok"
    assert say(pid, "connect c unix:#{file} 0") == "ok"
    assert say(pid, "accept a l") == "ok"
    assert say(pid, "send c over") == "ok 4"
    assert say(pid, "recv a 10") == ~s|ok 4 "over"|
    assert say(pid, "open t inet stream") == "ok"
    assert say(pid, "bind t any:127.0.0.1 0") == "ok"
    Program.stop(pid)
  end

  test "sockets: decides between the versions where the imports do not fit it" do
    assert {:error, %Wasmex.Error{}} =
             Wasmex.run(path("c_script/script_v1"), ["note"], sockets: :v2)

    assert {:error, %Wasmex.Error{}} =
             Wasmex.run(path("c_script/script_v2"), ["note"], sockets: :none)

    assert {:ok, %{status: 0}} = Wasmex.run(path("c_script/script_v1"), ["note"], sockets: :v1)
  end

  @echo "c_echo/echo"

  test "an echo server on one poll serves several connections in turn" do
    port = free_port()
    {pid, _} = start(@echo, ["#{port}", "3"], ~r/(listening)\n/, bind: ["127.0.0.1:#{port}"])
    sockets = for _ <- 1..3, do: connect(port)

    for _ <- 1..5, {socket, n} <- Enum.with_index(sockets) do
      :ok = :gen_tcp.send(socket, "round #{n}")
      assert recv(socket, 7) == "round #{n}"
    end

    Enum.each(sockets, &:gen_tcp.close/1)
    assert ended(pid) == {:exit_status, 0}
  end

  defp firsts(outcomes), do: Enum.map(outcomes, &(&1 |> String.split(" ") |> hd()))
end
