defmodule Wasmex.Sockets.InterfacesTest do
  # Both versions of WasmEdge's functions: each import by its own type.
  use ExUnit.Case, async: true

  alias Wasmex.Error

  @script "test/guests/sockets/c_script/script_"

  defp params(count), do: String.duplicate(" i32", count)

  # A program that imports functions of these names and numbers of parameters.
  defp importing(functions) do
    imports =
      for {name, count} <- functions do
        ~s|(import "wasi_snapshot_preview1" "#{name}" (func (param#{params(count)}) (result i32)))|
      end

    ~s|(module #{imports} (memory (export "memory") 1) (func (export "_start")))|
  end

  defp run(functions, sockets), do: Wasmex.run(importing(functions), [], sockets: sockets)

  test "a module may mix them, as Rust's crate does" do
    mixed = [sock_accept: 2, sock_getpeeraddr: 4, sock_recv_from: 8, sock_open: 3]
    assert {:ok, %{status: 0}} = run(mixed, :auto)
    assert {:ok, %{status: 0}} = run(mixed, :v1)
    assert {:error, %Error{}} = run(mixed, :v2)
    assert {:error, %Error{}} = run(mixed, :none)
    assert {:ok, %{status: 0}} = run([sock_accept: 3, sock_recv_from: 7], :auto)
  end

  test "one version refuses the other; without sockets the standard functions are left" do
    assert {:ok, %{status: 0}} = Wasmex.run(@script <> "v1.wasm", ["note"], sockets: :v1)
    assert {:ok, %{status: 0}} = Wasmex.run(@script <> "v2.wasm", ["note"], sockets: :v2)
    assert {:error, %Error{}} = Wasmex.run(@script <> "v1.wasm", ["note"], sockets: :v2)
    assert {:error, %Error{}} = Wasmex.run(@script <> "v2.wasm", ["note"], sockets: :v1)
    assert {:ok, %{status: 0}} = run([sock_accept: 3, sock_shutdown: 2], :none)
    assert {:error, %Error{reason: :missing_import}} = run([sock_getpeeraddr: 9], :auto)
  end

  # Looks up no name: family and flags as given; prints the port and the address.
  defp nameless(family, flags) do
    hints = for byte <- [flags, 0, family, 2], do: "\\0#{byte}"

    wat = ~s"""
    (module
      (import "wasi_snapshot_preview1" "sock_getaddrinfo" (func $find (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (data (i32.const 8) "80")
      (data (i32.const 16) "#{hints}")
      (data (i32.const 32) "\\40")                                  ;; the first record
      (data (i32.const 76) "\\80")                                  ;; its address
      (data (i32.const 132) "\\1a\\00\\00\\00\\a0\\00\\00\\00")         ;; of 26 bytes at 160
      (data (i32.const 200) "\\a0\\00\\00\\00\\12\\00\\00\\00")
      (func (export "_start") (local $errno i32)
        (local.set $errno (call $find (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 2) (i32.const 16) (i32.const 32) (i32.const 8) (i32.const 40)))
        (drop (call $write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 220)))
        (call $exit (local.get $errno))))
    """

    {:ok, %{status: 0, stdout: <<80::16, address::binary>>}} = Wasmex.run(wat)
    address
  end

  test "no name is this machine: to listen at, or to connect to" do
    assert nameless(1, 1) == <<0::128>>
    assert nameless(0, 1) == <<0::128>>
    assert nameless(1, 0) == <<127, 0, 0, 1, 0::96>>
    assert nameless(2, 0) == <<1::128>>
    assert nameless(2, 1) == <<0::128>>
  end

  # Output is sent as it is printed, on a busy machine in the middle of a line.
  defp whole_line(pid, printed \\ "") do
    assert_receive {^pid, {:data, more}}, 60_000
    printed = printed <> more
    if String.ends_with?(printed, "\n"), do: printed, else: whole_line(pid, printed)
  end

  test "datagrams and their senders, wherever the results go" do
    lines = ["open a inet dgram", "bind a 127.0.0.1 0", "open b inet dgram", "bind b 127.0.0.1 0"]

    for version <- ["v1", "v2"] do
      {:ok, pid} =
        Wasmex.Program.start_link(
          program: @script <> version <> ".wasm",
          dial: ["udp://127.0.0.1"],
          bind: ["udp://127.0.0.1"]
        )

      say = fn line ->
        {:ok, _} = Wasmex.Program.write(pid, line <> "\n")
        pid |> whole_line() |> String.trim() |> String.split(" -> ") |> List.last()
      end

      assert ["ok", "ok", "ok", "ok"] = Enum.map(lines, say)
      "ok 127.0.0.1 " <> port = say.("local a")
      assert say.("sendto b 127.0.0.1 #{port} hello") == "ok 5"
      assert say.("recvfrom a 10") =~ "hello"
      assert say.("sendto b 10.0.0.1 1 x") == "acces 0"
      Wasmex.Program.stop(pid)
    end
  end

  test "a socket that is connected can't be connected again" do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(listener)
    lines = ["open a inet stream", "connect a 127.0.0.1 #{port}", "connect a 127.0.0.1 #{port}"]
    {:ok, run} = Wasmex.run(@script <> "v2.wasm", lines, dial: ["127.0.0.1"])
    assert run.stdout =~ ~r/ok\n.* ok\n.* isconn\n/
  end

  describe "what is refused" do
    defp refusals(lines, opts) do
      test = self()
      trace = fn event -> if event.outputs[:refused], do: send(test, {:refused, event}) end
      {:ok, %{status: 0}} = Wasmex.run(@script <> "v2.wasm", lines, [trace: trace] ++ opts)
      collect()
    end

    defp collect do
      receive do
        # The system chose that port.
        {:refused, %{name: "sock_listen"} = event} ->
          assert event.outputs[:refused] =~ ~r"^no rule of bind: allows tcp://0.0.0.0:\d+$"
          [{event.name, event.result, :port} | collect()]

        {:refused, event} ->
          [{event.name, event.result, event.outputs[:refused]} | collect()]
      after
        0 -> []
      end
    end

    test "tells the trace which option has no rule for it" do
      lines = [
        "open c inet stream",
        "connect c 10.1.2.3 80",
        "bind c 127.0.0.1 81",
        "open l inet stream",
        "bind l 0.0.0.0 0",
        "listen l",
        "open u inet dgram",
        "open x unix stream",
        "connect x unix:/run/other.sock 0",
        "bind x unix:/run/own.sock 0",
        "lookup db.internal 80",
        "pathopen p 3 tcp+dial://10.1.2.4:80"
      ]

      opts = [dial: ["tcp://127.0.0.1", "unix:///run/app.sock"]]

      assert refusals(lines, opts) == [
               {"sock_connect", :acces, "no rule of dial: allows tcp://10.1.2.3:80"},
               {"sock_bind", :acces, "no rule of bind: allows tcp://127.0.0.1:81"},
               {"sock_listen", :acces, :port},
               {"sock_open", :acces, "neither dial: nor bind: allows UDP sockets"},
               {"sock_connect", :acces, "no rule of dial: allows unix:///run/other.sock"},
               {"sock_bind", :acces, "no rule of bind: allows unix:///run/own.sock"},
               {"sock_getaddrinfo", :acces,
                "no rule of dns: or dial: allows the name \"db.internal\""},
               {"path_open", :acces, "no rule of dial: allows tcp://10.1.2.4:80"}
             ]
    end

    test "tells it for datagrams, too" do
      lines = ["open u inet dgram", "sendto u 127.0.0.1 9 x", "bind u 127.0.0.1 9"]

      assert refusals(lines, dial: ["udp://10.0.0.1"]) == [
               {"sock_send_to", :acces, "no rule of dial: allows udp://127.0.0.1:9"},
               {"sock_bind", :acces, "no rule of bind: allows udp://127.0.0.1:9"}
             ]
    end
  end
end
