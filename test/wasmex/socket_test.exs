defmodule Wasmex.SocketTest do
  # Elixir's ends: listeners, and connections in memory. What guests do with them is in test/wasmex/sockets.
  use ExUnit.Case, async: true
  doctest Wasmex.Socket

  alias Wasmex.{Error, Program, Socket}

  @listener "test/guests/sockets/go/listener.wasm"

  defp serve(listen, opts \\ []) do
    {:ok, pid} = Program.start_link([program: @listener, listen: listen] ++ opts)
    assert_receive {^pid, {:data, "serving on 3" <> _}}, 60_000
    pid
  end

  defp get(socket, path) do
    :ok = Socket.send(socket, "GET #{path} HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")
    read_all(socket, "")
  end

  defp read_all(socket, got) do
    case Socket.recv(socket, 0, 60_000) do
      {:ok, bytes} -> read_all(socket, got <> bytes)
      {:error, :closed} -> got
    end
  end

  test "a Go server answers on a port of the host" do
    {:ok, listener} = Socket.listen("tcp://127.0.0.1:0")
    serve([listener])

    {:ok, socket} =
      :gen_tcp.connect({127, 0, 0, 1}, Socket.port(listener), [:binary, active: false])

    :ok = :gen_tcp.send(socket, "GET /hi HTTP/1.0\r\n\r\n")
    assert {:ok, "HTTP/1.1 200 OK" <> _} = :gen_tcp.recv(socket, 0, 60_000)
  end

  test "a Go server answers in memory, several at once, without a port" do
    name = make_ref()
    # Who makes the store has the name.
    test = self()

    task =
      Task.async(fn ->
        Wasmex.run(@listener, [], listen: [{:pipe, name}], stdout: [], trace: &send(test, &1))
      end)

    sockets =
      for _ <- 1..20 do
        {:ok, socket} = Socket.connect({:pipe, name}, timeout: 60_000)
        socket
      end

    for {socket, n} <- Enum.with_index(sockets),
        do: assert(get(socket, "/#{n}") =~ ~r"\AHTTP/1.1 200 OK.*/#{n} "s)

    # The one that has it is killed: what is connected sees the end.
    {:ok, socket} = Socket.connect({:pipe, name})
    Process.unlink(task.pid)
    Process.exit(task.pid, :kill)
    assert {:error, :closed} = Socket.recv(socket, 0, 60_000)
  end

  test "a listener outlives its guests: who comes between them waits" do
    {:ok, listener} = Socket.listen(:pipe)
    first = serve([listener])
    {:ok, socket} = Socket.connect(listener)
    assert get(socket, "/one") =~ "/one"
    :ok = Program.stop(first)

    {:ok, waiting} = Socket.connect(listener)
    serve([listener])
    assert get(waiting, "/two") =~ "/two"
  end

  test "one end of a direction is no end of the other; data waits for its reader" do
    {:ok, listener} = Socket.listen(:pipe)
    {:ok, pid} = echo(listener)
    {:ok, socket} = Socket.connect(listener)
    :ok = Socket.send(socket, "hello")
    assert {:ok, "hello"} = Socket.recv(socket, 5, 60_000)
    assert {:error, :timeout} = Socket.recv(socket, 1, 0)
    :ok = Socket.shutdown(socket, :write)
    assert {:error, :closed} = Socket.recv(socket, 0, 60_000)
    :ok = Socket.close(socket)
    assert_receive {^pid, {:exit_status, 0}}, 60_000
  end

  # Accepts once, and sends back what comes until there is no more.
  defp echo(listener) do
    wat = ~S"""
    (module
      (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_fdstat_set_flags" (func $flags (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (drop (call $flags (i32.const 3) (i32.const 0)))
        (drop (call $accept (i32.const 3) (i32.const 0) (i32.const 32)))
        (block $end (loop $again
          (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 4096))
          (drop (call $read (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 4)))
          (br_if $end (i32.eqz (i32.load (i32.const 4))))
          (drop (call $write (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 8)))
          (br $again)))))
    """

    Program.start_link(program: wat, listen: [listener])
  end

  test "unix sockets: the path goes with the listener, and one left behind is taken over" do
    # Paths of sockets are short.
    path = Path.join(System.tmp_dir!(), "wasmex-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm(path) end)
    {:ok, socket} = :gen_tcp.listen(0, [:binary, ifaddr: {:local, path}])
    # Taken.
    assert {:error, %Error{reason: :socket}} = Socket.listen("unix://" <> path)
    :gen_tcp.close(socket)
    assert File.exists?(path)

    {:ok, pid} = Program.start_link(program: @listener, listen: ["unix://" <> path])
    assert_receive {^pid, {:data, _}}, 60_000
    {:ok, socket} = :gen_tcp.connect({:local, path}, 0, [:binary, active: false])
    :ok = :gen_tcp.send(socket, "GET /unix HTTP/1.0\r\n\r\n")
    assert {:ok, "HTTP/1.1 200 OK" <> _} = :gen_tcp.recv(socket, 0, 60_000)
    :ok = Program.stop(pid)
    refute File.exists?(path)
  end

  test "a port that is taken is an error of the store, or of the listener" do
    {:ok, listener} = Socket.listen("tcp://127.0.0.1:0")
    address = Socket.address(listener)
    assert {:error, %Error{reason: :socket}} = Socket.listen(address)

    assert {:error, %Error{reason: :wasi} = error} = Wasmex.run(@listener, [], listen: [address])
    assert Exception.message(error) =~ address
    # Until here it is in use.
    assert Socket.address(listener) == address
  end

  test "what makes no sense is said" do
    for bad <- ["127.0.0.1:80", "tcp://example.com:80", "tcp://127.0.0.1", "unix://a", :x, 1],
        do: assert_raise(ArgumentError, fn -> Socket.listen(bad) end)

    for {key, value} <- [
          listen: ["tcp://*:80"],
          listen: [:pipe],
          dial: ["ftp://x:1"],
          dial: ["unix://../x"],
          bind: ["tcp://1.2.3.4:99999"],
          dns: [1],
          sockets: :v3,
          max_sockets: -1,
          dial_timeout: 0
        ] do
      error = assert_raise ArgumentError, fn -> Wasmex.run(@listener, [], [{key, value}]) end
      assert Exception.message(error) =~ inspect(key)
    end

    name = make_ref()
    Wasmex.Socket.Names.register(name)

    Task.async(fn ->
      assert_raise ArgumentError, ~r/already used/, fn ->
        Wasmex.run(~s|(module (func (export "_start")))|, [], listen: [{:pipe, name}])
      end
    end)
    |> Task.await(:infinity)
  end
end
