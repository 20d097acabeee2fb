defmodule Wasmex.Components.SocketsTest do
  # Sockets of WASI 0.2: names, and connections that the host makes, as for modules.
  use ExUnit.Case, async: true

  alias Wasmex.{Origin, Socket}

  @command "test/guests/component_command/component_command.wasm"

  defp run(args, opts), do: Wasmex.run!(@command, args, opts)

  defp upcase(socket, got \\ "") do
    case Socket.recv(socket, 0, 60_000) do
      {:ok, bytes} -> upcase(socket, got <> bytes)
      {:error, :closed} -> :ok = Socket.send(socket, String.upcase(got))
    end
  end

  @guest "test/guests/sockets/component/component.wasm"

  defp start(args, opts) do
    {:ok, pid} = Wasmex.Program.start_link([program: @guest, args: args] ++ opts)
    assert_receive {^pid, {:data, "on 127.0.0.1:" <> port}}, 60_000
    {pid, port |> String.trim() |> String.to_integer()}
  end

  describe "a listener" do
    test "at a port that the system chose" do
      {pid, port} = start(["serve", "127.0.0.1:0", "2"], bind: ["127.0.0.1:0"])

      for text <- ["one", String.duplicate("two", 100_000)] do
        {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
        sender = Task.async(fn -> :ok = :gen_tcp.send(socket, text) end)
        assert {:ok, ^text} = :gen_tcp.recv(socket, byte_size(text), 60_000)
        Task.await(sender)
        :gen_tcp.close(socket)
      end

      assert_receive {^pid, {:exit_status, 0}}, 60_000
    end

    test "is its own rule: neither another address nor what dial: allows" do
      for opts <- [
            [],
            [dial: ["127.0.0.1"]],
            [bind: ["127.0.0.2:0"]],
            [bind: ["udp://127.0.0.1:0"]]
          ] do
        assert {:ok, %{status: 1, stdout: "PermissionDenied\n"}} =
                 Wasmex.run(@guest, ["serve", "127.0.0.1:0", "1"], opts)
      end

      # To connect, the guest may let the system choose an address; that is none to listen at.
      assert {:ok, %{status: 1, stdout: "PermissionDenied\n"}} =
               Wasmex.run(@guest, ["serve", "0.0.0.0:0", "1"], dial: ["127.0.0.1"])
    end

    test "and who dials it are one program" do
      opts = [bind: ["127.0.0.1:0"], dial: ["127.0.0.1"]]
      assert {:ok, %{stdout: "there and back\n"}} = Wasmex.run(@guest, ["both"], opts)
    end
  end

  test "who sent a datagram may be answered" do
    {pid, port} = start(["udp-serve", "127.0.0.1:0", "1"], bind: ["udp://127.0.0.1:0"])
    {:ok, peer} = :gen_udp.open(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    :ok = :gen_udp.send(peer, {127, 0, 0, 1}, port, "hello")
    assert {:ok, {_, ^port, "hello"}} = :gen_udp.recv(peer, 0, 60_000)
    assert_receive {^pid, {:exit_status, 0}}, 60_000
  end

  test "a connection that the host makes is one like others: without waiting, and with much to say" do
    count = fn socket -> Socket.send(socket, "got #{total(socket, 0)}") end

    assert {:ok, %{status: 0, stdout: stdout}} =
             Wasmex.run(@guest, ["dial", "db.internal:80", "3000000"],
               dial: [{"db.internal:80", count}]
             )

    assert stdout == "127.0.0.1:0 240.0.0.1:80\nErr(WouldBlock)\ngot 3000000\n"
  end

  defp total(socket, bytes) do
    case Socket.recv(socket, 0, 60_000) do
      {:ok, more} -> total(socket, bytes + byte_size(more))
      {:error, :closed} -> bytes
    end
  end

  describe "a name" do
    test "that no rule allows, that is none, and that has no address" do
      for {name, said} <- [
            {"db.internal", "Permission denied"},
            {"a b", ""},
            {"nobody.invalid", ""}
          ] do
        assert %{status: 1, stderr: stderr} = run(["lookup", name], dns: ["nobody.invalid"])
        assert stderr =~ said
      end
    end

    test "is looked up however it is written, and an address is none" do
      assert run(["lookup", "LOCALHOST"], dns: ["localhost"]).stdout =~ "127.0.0.1"
      assert run(["lookup", "10.1.2.3"], []).stdout == "10.1.2.3\n"
      assert run(["lookup", "::1"], []).stdout == "::1\n"
    end
  end

  describe "a function" do
    test "answers for a name, which has no address anywhere" do
      dial = [dial: [{"db.internal:5432", &upcase/1}]]
      assert run(["tcp", "db.internal:5432", "hello"], dial).stdout == "HELLO\n"
      assert run(["lookup", "db.internal"], dial).stdout == "240.0.0.1\n"
      # Other ports and names are not its own.
      assert %{status: 1} = run(["tcp", "db.internal:5433", "hello"], dial)
      assert %{status: 1} = run(["tcp", "db.external:5432", "hello"], dial)
    end

    test "answers for an address, with as much as the guest says" do
      text = String.duplicate("many words ", 9_000)
      dial = [dial: [{"10.1.2.3:80", &upcase/1}]]
      assert run(["tcp", "10.1.2.3:80", text], dial).stdout == String.upcase(text) <> "\n"
    end

    @tag :capture_log
    test "that raises closes its connection" do
      dial = [dial: [{"10.1.2.3:80", fn _socket -> raise "no" end}]]
      # Either what it wrote is refused, or there is no answer.
      assert %{stdout: stdout} = run(["tcp", "10.1.2.3:80", "hello"], dial)
      assert stdout in ["\n", ""]
    end
  end

  test "a process is handed the connection, or it is refused when it is gone" do
    test = self()
    dial = [dial: [{"10.1.2.3:80", test}]]
    task = Task.async(fn -> run(["tcp", "10.1.2.3:80", "hello"], dial) end)
    assert_receive {:wasmex_dial, socket, "10.1.2.3:80"}, 60_000
    assert {:ok, "hello"} = Socket.recv(socket, 5, 60_000)
    assert {:error, :closed} = Socket.recv(socket, 0, 60_000)
    :ok = Socket.send(socket, "hello yourself")
    :ok = Socket.close(socket)
    assert %{stdout: "hello yourself\n"} = Task.await(task, 60_000)
  end

  describe "the host encrypts" do
    setup do
      {server, cacerts} = Origin.certificates()
      {:ok, listener} = :ssl.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}] ++ server)
      {:ok, {_, port}} = :ssl.sockname(listener)
      test = self()
      spawn_link(fn -> serve(listener, test) end)
      %{port: port, cacerts: cacerts}
    end

    # It speaks first, and the guest waits for that: OTP ends both directions when the other side ends one.
    defp serve(listener, test) do
      {:ok, socket} = :ssl.transport_accept(listener)

      with {:ok, socket} <- :ssl.handshake(socket, 60_000),
           :ok <- :ssl.send(socket, "WELCOME"),
           {:ok, bytes} <- :ssl.recv(socket, 5, 60_000) do
        send(test, {:encrypted, bytes})
        :ssl.close(socket)
      end

      serve(listener, test)
    end

    test "and the guest speaks plain text", %{port: port, cacerts: cacerts} do
      opts = [dial: ["tls://localhost:#{port}"], dial_cacerts: cacerts]
      run = Wasmex.run!(@guest, ["greeted", "localhost:#{port}", "hello"], opts)
      assert run.stdout == "WELCOME\n"
      assert_receive {:encrypted, "hello"}, 60_000
    end

    test "with nobody who can't prove to be the one", %{port: port} do
      {_, other} = Origin.certificates(root: 4)
      opts = [dial: ["tls://localhost:#{port}"], dial_cacerts: other]
      assert %{status: 1, stdout: ""} = run(["tcp", "localhost:#{port}", "hello"], opts)
      refute_received {:encrypted, _}
      # By its address it is another one, which has no name to prove.
      assert %{status: 1} = run(["tcp", "127.0.0.1:#{port}", "hello"], opts)
    end
  end
end
