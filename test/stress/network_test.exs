defmodule Wasmex.NetworkStressTest do
  @moduledoc false
  # Names and networks of our own: each test runs a VM in namespaces where `/etc/hosts`, `/etc/resolv.conf`, the loopback
  # addresses and port 53 are ours. Where the system allows no namespaces the tests are skipped, and say so.
  use ExUnit.Case, async: true

  alias Wasmex.ChildVM

  @moduletag :stress
  @moduletag timeout: 240_000

  # What a shell does first: root of namespaces of its own, where nothing reaches the world.
  @namespaces "unshare --user --map-root-user --net --mount"
  @possible match?(
              {_, 0},
              System.cmd("sh", ["-c", "#{@namespaces} ip link set lo up"], stderr_to_stdout: true)
            )

  unless @possible, do: @moduletag(skip: "no namespaces here, or no ip(8)")

  # The hosts file and the resolver's, in a folder of the test.
  defp in_namespaces(dir, hosts, code) do
    File.write!(Path.join(dir, "hosts"), hosts)

    File.write!(
      Path.join(dir, "resolv.conf"),
      "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
    )

    File.write!(Path.join(dir, "nsswitch.conf"), "hosts: files dns\n")

    mounts =
      for name <- ~w(hosts resolv.conf nsswitch.conf), into: "" do
        "mount --bind #{Path.join(dir, name)} /etc/#{name}; "
      end

    setup =
      "ip link set lo up; ip addr add 203.0.114.1/32 dev lo; ip addr add 10.9.8.7/32 dev lo; " <>
        "ip addr add 169.254.169.254/32 dev lo; ip -6 addr add fd00:ec2::254/128 dev lo nodad; " <>
        mounts

    {output, status} = ChildVM.run(code, "true", "#{@namespaces} sh -c '#{setup} exec \"$@\"' sh")
    assert {status, output} == {0, "done\n"}
  end

  @prelude """
  import ExUnit.Assertions

  fetch = fn allowed, authority, options ->
    guest = Wasmex.Fetcher.instance([allowed_hosts: allowed] ++ options)
    Wasmex.Fetcher.fetch(guest, authority)
  end

  everywhere = fn body -> Wasmex.Origin.answer(Wasmex.Origin.response(body), ip: {0, 0, 0, 0, 0, 0, 0, 0}) end
  prohibited = {:error, "ErrorCode::DestinationIpProhibited"}
  denied = {:error, "ErrorCode::HttpRequestDenied"}
  _ = {fetch, everywhere, prohibited, denied}
  """

  @tag :tmp_dir
  test "a name leads only to public addresses and those that are listed", %{tmp_dir: dir} do
    hosts = """
    127.0.0.1 localhost
    203.0.114.1 public.test
    127.0.0.1 loopback.test
    ::1 loopback6.test
    10.9.8.7 private.test
    169.254.169.254 metadata.test
    fd00:ec2::254 metadata6.test
    ::ffff:127.0.0.1 mapped.test
    0.0.0.0 zero.test
    127.0.0.1 both.test
    203.0.114.1 both.test
    """

    code =
      @prelude <>
        """
        port = everywhere.("hello")
        assert {:ok, %{"body" => "hello"}} = fetch.(["*.test"], "public.test:\#{port}", [])
        # Of several addresses those that may be reached.
        assert {:ok, %{"body" => "hello"}} = fetch.(["*.test"], "both.test:\#{port}", [])

        for name <- ~w(loopback loopback6 private metadata metadata6 mapped zero),
            list <- [["*.test"], ["*"], ["\#{name}.test"]] do
          assert {name, fetch.(list, "\#{name}.test:\#{port}", [])} == {name, prohibited}
        end

        for {name, address} <- [
              {"loopback", "127.0.0.0/8"}, {"loopback6", "::1"}, {"private", "10.0.0.0/8"},
              {"metadata", "169.254.169.254"}, {"metadata6", "fd00:ec2::254"}, {"mapped", "127.0.0.1"}
            ] do
          assert {:ok, %{"body" => "hello"}} = fetch.(["*.test", address], "\#{name}.test:\#{port}", [])
        end

        # Other ways to write an address are names.
        for host <- ["127.1", "2130706433", "0x7f000001", "0", "0x0a090807"],
            do: assert({host, fetch.(["*"], "\#{host}:\#{port}", [])} == {host, prohibited})

        for host <- ["169.254.169.254", "[fd00:ec2::254]", "0.0.0.0", "[::]", "[::ffff:169.254.169.254]"],
            do: assert({host, fetch.(["*"], "\#{host}:\#{port}", [])} == {host, denied})

        assert {:ok, _} = fetch.(["*"], "127.0.0.1:\#{port}", [])
        assert {:ok, _} = fetch.(["localhost"], "localhost:\#{port}", [])
        assert {:ok, _} = fetch.(["[::1]"], "[::1]:\#{port}", [])

        # A redirect is judged as a request is.
        to = fn location ->
          Wasmex.Origin.answer(
            "HTTP/1.1 302 Found\\r\\nlocation: \#{location}\\r\\ncontent-length: 0\\r\\n\\r\\n",
            ip: {0, 0, 0, 0, 0, 0, 0, 0}
          )
        end

        follow = &fetch.(["*"], "public.test:\#{to.(&1)}", http_redirects: 3)
        assert {:ok, %{"body" => "hello"}} = follow.("http://public.test:\#{port}/")
        assert follow.("http://private.test:\#{port}/") == prohibited
        assert follow.("http://metadata.test/latest/meta-data") == prohibited
        assert follow.("http://169.254.169.254/latest/meta-data") == denied
        assert follow.("http://[::ffff:a9fe:a9fe]/") == denied
        IO.puts("done")
        """

    in_namespaces(dir, hosts, code)
  end

  @tag :tmp_dir
  test "a name that changes its address is judged each time, and connected to as judged", %{
    tmp_dir: dir
  } do
    # A server of names that answers with a public address and with this machine's in turn.
    code =
      @prelude <>
        """
        {:ok, socket} = :gen_udp.open(53, [:binary, active: false, ip: {127, 0, 0, 1}])
        turn = :counters.new(1, [])

        answer = fn <<id::16, _::binary>> = query ->
          <<_::binary-size(12), question::binary>> = query
          [name, <<type::16, class::16, _::binary>>] = :binary.split(question, <<0>>)
          asked = name <> <<0, type::16, class::16>>

          if type == 1 do
            :counters.add(turn, 1, 1)
            ip = if rem(:counters.get(turn, 1), 2) == 1, do: <<203, 0, 114, 1>>, else: <<127, 0, 0, 1>>
            <<id::16, 0x8180::16, 1::16, 1::16, 0::32>> <> asked <> <<0xC00C::16, 1::16, 1::16, 0::32, 4::16>> <> ip
          else
            <<id::16, 0x8180::16, 1::16, 0::16, 0::32>> <> asked
          end
        end

        serve = fn serve ->
          {:ok, {ip, port, query}} = :gen_udp.recv(socket, 0)
          :gen_udp.send(socket, ip, port, answer.(query))
          serve.(serve)
        end

        names = spawn_link(fn -> receive do: (:go -> serve.(serve)) end)
        :ok = :gen_udp.controlling_process(socket, names)
        send(names, :go)

        public = Wasmex.Origin.answer(Wasmex.Origin.response("public"), ip: {203, 0, 114, 1})
        {:ok, inside} = :gen_tcp.listen(public, ip: {127, 0, 0, 1}, active: false)

        results = for _ <- 1..40, do: fetch.(["rebind.test"], "rebind.test:\#{public}", [])
        assert Enum.count(results, &match?({:ok, %{"body" => "public"}}, &1)) > 0
        assert Enum.count(results, &(&1 == prohibited)) > 0
        assert Enum.all?(results, &(match?({:ok, %{"body" => "public"}}, &1) or &1 == prohibited))
        # Nobody came to what listens inside.
        assert :gen_tcp.accept(inside, 0) == {:error, :timeout}
        IO.puts("done")
        """

    in_namespaces(dir, "127.0.0.1 localhost\n", code)
  end

  @tag :tmp_dir
  test "sockets of components keep to the same rules", %{tmp_dir: dir} do
    hosts = """
    127.0.0.1 localhost
    203.0.114.1 public.test
    127.0.0.1 loopback.test
    10.9.8.7 private.test
    """

    code =
      @prelude <>
        """
        command = "test/guests/component_command/component_command.wasm"
        {:ok, listener} = :gen_tcp.listen(0, ip: {0, 0, 0, 0}, active: false, backlog: 100)
        {:ok, port} = :inet.port(listener)
        parent = self()

        spawn_link(fn ->
          :gen_tcp.controlling_process(listener, self())
          accept = fn accept ->
            # Closed at the end of the script.
            with {:ok, socket} <- :gen_tcp.accept(listener) do
              send(parent, :came)
              :gen_tcp.close(socket)
              accept.(accept)
            end
          end
          accept.(accept)
        end)

        reaches? = fn list, address ->
          receive do: (:came -> :ok), after: (0 -> :ok)
          Wasmex.run!(command, ["tcp", address, "x"], tcp: list)
          receive do: (:came -> true), after: (200 -> false)
        end

        for {list, host, reached} <- [
              {["*.test"], "public.test", true},
              {["*.test"], "loopback.test", false},
              {["*"], "loopback.test", true},
              {["*.test"], "private.test", false},
              {["*.test", "10.0.0.0/8"], "private.test", true},
              {["10.9.8.7"], "10.9.8.7", true},
              {["*"], "10.9.8.7", true},
              {["*"], "169.254.169.254", false},
              {["169.254.169.254"], "169.254.169.254", true},
              {["*"], "0.0.0.0", false},
              {["127.0.0.1"], "0.0.0.0", false},
              {["127.0.0.0/8"], "127.0.0.9", true},
              {["127.0.0.2"], "[::ffff:127.0.0.1]", false},
              {["127.0.0.1:1-\#{port - 1}"], "127.0.0.1", false},
              {["127.0.0.1:1-\#{port}"], "127.0.0.1", true}
            ] do
          assert {list, host, reaches?.(list, "\#{host}:\#{port}")} == {list, host, reached}
        end

        IO.puts("done")
        """

    in_namespaces(dir, hosts, code)
  end
end
