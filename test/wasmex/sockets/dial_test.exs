defmodule Wasmex.Sockets.DialTest do
  # What a guest dials is answered by Elixir, or encrypted by the host; and sockets that are opened by path.
  use ExUnit.Case, async: true

  alias Wasmex.{Origin, Socket}

  @script "test/guests/sockets/c_script/script_v2.wasm"

  defp script(lines, opts) do
    {:ok, run} = Wasmex.run(@script, lines, opts)
    assert run.status == 0, run.stderr
    run.stdout |> String.split("\n", trim: true) |> Enum.map(&List.last(String.split(&1, " -> ")))
  end

  defp echo(socket) do
    case Socket.recv(socket, 0, 60_000) do
      {:ok, bytes} ->
        :ok = Socket.send(socket, String.upcase(bytes))
        echo(socket)

      {:error, :closed} ->
        :ok
    end
  end

  describe "a function" do
    test "answers for a name, which has no address anywhere" do
      test = self()

      answer = fn socket ->
        send(test, {:answering, self(), Process.get(:"$callers")})
        echo(socket)
      end

      assert [
               "ok " <> looked_up,
               "acces 0",
               "ok",
               "ok",
               "ok 240.0.0.1 5432",
               "ok 5",
               "ok 5 \"HELLO\"",
               "ok",
               "ok 0",
               "isconn"
             ] =
               script(
                 [
                   "lookup db.internal 5432",
                   "lookup other.internal 5432",
                   "open a inet stream",
                   "connect a 240.0.0.1 5432",
                   "peer a",
                   "send a hello",
                   "recv a 5 2",
                   "shutdown a write",
                   "drain a",
                   "connect a 240.0.0.1 5432"
                 ],
                 dial: [{"db.internal:5432", answer}]
               )

      assert looked_up =~ "240.0.0.1"
      assert_received {:answering, pid, callers}
      assert test in callers
      # The connection is over, and so is its process.
      ref = Process.monitor(pid)
      assert_receive {:DOWN, ^ref, _, _, _}, 60_000
    end

    test "answers for an address, and no other port of it" do
      lines = [
        "open a inet stream",
        "flags a 4",
        "connect a 10.1.2.3 80",
        "poll 60000 a:w",
        "getopt a 0 2",
        "send a x",
        "open b inet stream",
        "connect b 10.1.2.3 81"
      ]

      assert ["ok", "ok", "inprogress", "ok 1 a:w", "ok 0", "ok 1", "ok", "acces"] =
               script(lines, dial: [{"tcp://10.1.2.3:80", &echo/1}])
    end

    @tag :capture_log
    test "that raises closes its connection and takes nobody along" do
      answer = fn _socket -> raise "no" end
      lines = ["open a inet stream", "connect a 10.1.2.3 80", "recv a 5"]

      assert ["ok", "ok", "ok 0 \"\""] = script(lines, dial: [{"10.1.2.3", answer}])
      assert ["ok", "ok", "ok 0 \"\""] = script(lines, dial: [{"10.1.2.3", answer}])
    end
  end

  test "a function over HTTP and a stream dial as any program does" do
    answer = fn socket -> Socket.send(socket, "hello") end
    dial = [dial: [{"10.1.2.3:80", answer}]]
    lines = ["open a inet stream", "connect a 10.1.2.3 80", "recv a 5 2"]
    last = ~s|recv a 5 2 -> ok 5 "hello"\n|

    assert @script |> Wasmex.stream!(lines, dial) |> Enum.join() =~ last

    {:ok, function} = Wasmex.HTTP.load(@script, [convention: :env, dial_cacerts: nil] ++ dial)
    body = Enum.map_join(lines, &(&1 <> "\n"))

    for _ <- 1..2 do
      request = Wasmex.HTTP.Request.new("POST", "/", [], body)
      assert %{status: 200, body: body} = Wasmex.HTTP.call(function, request)
      assert body =~ last
    end
  end

  test "a process is handed the connection, or it is refused when it is gone" do
    lines = ["open a inet stream", "connect a 10.1.2.3 80", "recv a 5"]

    test = self()

    task =
      Task.async(fn ->
        script(lines, dial: [{"10.1.2.3:80", test}])
      end)

    assert_receive {:wasmex_dial, socket, "10.1.2.3:80"}, 60_000
    :ok = Socket.send(socket, "hello")
    assert ["ok", "ok", "ok 5 \"hello\""] = Task.await(task, 60_000)
    assert {:error, :closed} = Socket.recv(socket)

    {gone, ref} = spawn_monitor(fn -> :ok end)
    assert_receive {:DOWN, ^ref, _, _, _}
    assert ["ok", "ok", "ok 0 \"\""] = script(lines, dial: [{"10.1.2.3:80", gone}])
  end

  test "what answers ends with the store" do
    before = dialers()
    script(["note"], dial: [{"10.1.2.3:80", &echo/1}])
    # The last handle is gone with the run's garbage.
    :erlang.garbage_collect()
    wait_until(fn -> dialers() -- before == [] end)
  end

  defp dialers do
    for pid <- Process.list(),
        {:dictionary, dictionary} <- [Process.info(pid, :dictionary)],
        dictionary[:"$initial_call"] == {Wasmex.Socket.Dialer, :init, 1},
        self() in (dictionary[:"$callers"] || []),
        do: pid
  end

  defp wait_until(check, tries \\ 500) do
    cond do
      check.() -> :ok
      tries == 0 -> flunk("it never came true")
      true -> Process.sleep(10) && wait_until(check, tries - 1)
    end
  end

  describe "the host encrypts" do
    setup do
      {server, cacerts} = Origin.certificates()
      {:ok, listener} = :ssl.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}] ++ server)
      {:ok, {_, port}} = :ssl.sockname(listener)
      spawn_link(fn -> serve(listener) end)
      %{port: port, cacerts: cacerts}
    end

    defp serve(listener) do
      {:ok, socket} = :ssl.transport_accept(listener)

      with {:ok, socket} <- :ssl.handshake(socket, 60_000),
           {:ok, bytes} <- :ssl.recv(socket, 5, 60_000) do
        :ssl.send(socket, String.upcase(bytes))
        :ssl.close(socket)
      end

      serve(listener)
    end

    test "and the guest speaks plain text", %{port: port, cacerts: cacerts} do
      lines = [
        "lookup localhost #{port}",
        "open a inet stream",
        "flags a 4",
        "connect a 127.0.0.1 #{port}",
        "poll 60000 a:w",
        "getopt a 0 2",
        "peer a",
        "send a hello",
        "flags a 0",
        "drain a"
      ]

      peer = "ok 127.0.0.1 #{port}"

      assert [_, "ok", "ok", "inprogress", "ok 1 a:w", "ok 0", ^peer, "ok 5", "ok", "ok 5"] =
               script(lines, dial: ["tls://localhost:#{port}"], dial_cacerts: cacerts)
    end

    test "with nobody who can't prove to be the one", %{port: port, cacerts: cacerts} do
      lines = ["lookup localhost #{port}", "open a inet stream", "connect a 127.0.0.1 #{port}"]

      # Another authority; and an address that was not looked up has no name to prove.
      {_, other} = Origin.certificates(root: 4)

      assert [_, "ok", "connaborted"] =
               script(lines, dial: ["tls://localhost:#{port}"], dial_cacerts: other)

      assert ["ok", "acces"] =
               script(tl(lines), dial: ["tls://localhost:#{port}"], dial_cacerts: cacerts)
    end
  end

  describe "by path" do
    test "a connection and a listener" do
      {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
      {:ok, port} = :inet.port(listener)

      task =
        Task.async(fn ->
          {:ok, socket} = :gen_tcp.accept(listener)
          {:ok, bytes} = :gen_tcp.recv(socket, 5)
          :gen_tcp.send(socket, String.upcase(bytes))
          :gen_tcp.close(socket)
        end)

      lines = [
        "pathopen a 3 tcp+dial://127.0.0.1:#{port}",
        "write a hello",
        "drain a",
        "pathopen b 3 tcp+listen://127.0.0.1:0?backlog=5 4",
        "local b",
        "accept c b",
        "pathopen d 3 tcp+dial://10.0.0.1:80",
        "pathopen e 3 tcp+listen://0.0.0.0:80",
        "pathopen f 3 tcp+listen://:80",
        "pathopen g -1 tcp4+listen://localhost:0?nonblock=1&backlog=9",
        "accept h g",
        "pathopen i -1 tcp6+dial://127.0.0.1:80",
        "pathopen j 3 tcp+dial://127.0.0.1:+#{port}",
        "pathopen k 3 tcp+dial://[[127.0.0.1]]:#{port}",
        "lookup 127.0.0.1 +80"
      ]

      assert [
               "ok",
               "ok 5",
               "ok 5",
               "ok",
               "ok 127.0.0.1 " <> _,
               "again",
               "acces",
               "acces",
               "acces",
               "ok",
               "again",
               "noent",
               "inval",
               "noent",
               "inval 0"
             ] = script(lines, dial: ["127.0.0.1"], bind: ["127.0.0.1"], dns: ["localhost"])

      Task.await(task, 60_000)

      # Without them a path is a file's, and the functions can't be imported.
      assert {:error, %Wasmex.Error{reason: :wasi}} = Wasmex.run(@script, [], sockets: :none)
    end
  end

  test "standard input does not wait where the guest says so, or the option" do
    lines = [
      "fdstat 0",
      "read 0 5",
      "flags 0 0",
      "fdstat 0",
      "flags 0 4",
      "read 0 5",
      "poll 1 0:r"
    ]

    {:ok, pid} =
      Wasmex.Program.start_link(program: @script, args: lines, non_blocking_stdio: true)

    assert ["ok type " <> first, "again", "ok", "ok type " <> second, "ok", "again", "ok 1 clock"] =
             output(pid, "")

    assert first =~ "flags 4"
    assert second =~ "flags 0"
  end

  defp output(pid, got) do
    receive do
      {^pid, {:data, bytes}} ->
        output(pid, got <> bytes)

      {^pid, {:exit_status, 0}} ->
        got |> String.split("\n", trim: true) |> Enum.map(&List.last(String.split(&1, " -> ")))
    after
      60_000 -> flunk("it does not end: #{got}")
    end
  end

  @tag :tmp_dir
  test "files and directories have limits of their own", %{tmp_dir: dir} do
    File.write!(Path.join(dir, "f"), "")
    File.mkdir!(Path.join(dir, "d"))
    opts = [dirs: %{"/x" => dir}, max_open_files: 1, max_open_dirs: 1]

    # Opens f, f, d, d, closes the first, opens f: the errnos of all as letters, 33 (mfile) as "b".
    wat = ~S"""
    (module
      (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "fd")
      (data (i32.const 16) "\40\00\00\00\05\00\00\00")
      (func $try (param $place i32) (param $path i32) (param $how i32)
        (i32.store8 (local.get $place) (i32.add (i32.const 65)
          (call $open (i32.const 3) (i32.const 0) (local.get $path) (i32.const 1) (local.get $how)
            (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32)))))
      (func (export "_start")
        (call $try (i32.const 64) (i32.const 0) (i32.const 0))
        (call $try (i32.const 65) (i32.const 0) (i32.const 0))
        (call $try (i32.const 66) (i32.const 1) (i32.const 2))
        (call $try (i32.const 67) (i32.const 1) (i32.const 2))
        (drop (call $close (i32.const 4)))
        (call $try (i32.const 68) (i32.const 0) (i32.const 0))
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))))
    """

    assert {:ok, %{stdout: "AbAbA"}} = Wasmex.run(wat, [], opts)
  end
end
