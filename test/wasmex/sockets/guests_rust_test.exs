defmodule Wasmex.Sockets.GuestsRustTest do
  # A Rust crate by the first version of WasmEdge's sockets: everything blocks, in one call after the other.
  use ExUnit.Case, async: true

  import Wasmex.SocketGuests

  @rust "rust/rust"

  test "a server echoes one connection after the other" do
    port = free_port()

    {pid, _} =
      start(@rust, ["serve", "127.0.0.1:#{port}", "3"], ~r/(listening)\n/,
        bind: ["127.0.0.1:#{port}"]
      )

    for text <- ["one", "two", String.duplicate("three ", 100_000)] do
      socket = connect(port)
      :ok = :gen_tcp.send(socket, text)
      assert recv(socket, byte_size(text)) == text
      :gen_tcp.close(socket)
    end

    assert ended(pid) == {:exit_status, 0}
  end

  test "a client sends, closes its half and reads to the end" do
    options = [:binary, active: false, ip: {127, 0, 0, 1}, exit_on_close: false]
    {:ok, listener} = :gen_tcp.listen(0, options)
    {:ok, port} = :inet.port(listener)

    guest =
      Task.async(fn ->
        Wasmex.run(path(@rust), ["dial", "127.0.0.1:#{port}", "hello"],
          dial: ["127.0.0.1:#{port}"]
        )
      end)

    {:ok, socket} = :gen_tcp.accept(listener, 60_000)
    assert recv(socket, 5) == "hello"
    assert {:error, :closed} = :gen_tcp.recv(socket, 0, 60_000)
    :ok = :gen_tcp.send(socket, "and back")
    :gen_tcp.close(socket)
    {:ok, run} = Task.await(guest, 60_000)
    assert {run.status, run.stdout =~ "got and back\n"} == {0, true}
  end

  test "one guest serves another" do
    port = free_port()

    {pid, _} =
      start(@rust, ["serve", "127.0.0.1:#{port}", "1"], ~r/(listening)\n/,
        bind: ["127.0.0.1:#{port}"]
      )

    {:ok, run} =
      Wasmex.run(path(@rust), ["dial", "127.0.0.1:#{port}", "hello-rust"],
        dial: ["127.0.0.1:#{port}"]
      )

    assert run.stdout =~ "got hello-rust\n"
    assert ended(pid) == {:exit_status, 0}
  end

  test "datagrams, as a server and as a client" do
    port = free_port()
    address = "127.0.0.1:#{port}"

    {pid, _} =
      start(@rust, ["udp-serve", address, "2"], ~r/(listening)\n/, bind: ["udp://#{address}"])

    {:ok, run} = Wasmex.run(path(@rust), ["udp", address, "hello"], dial: ["udp://#{address}"])
    assert {run.status, run.stdout} == {0, "sent 5\ngot hello from #{address}\n"}

    {:ok, peer} = :gen_udp.open(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    :ok = :gen_udp.send(peer, {127, 0, 0, 1}, port, "")
    assert {:ok, {{127, 0, 0, 1}, ^port, ""}} = :gen_udp.recv(peer, 0, 60_000)
    assert ended(pid) == {:exit_status, 0}
  end

  test "a time limit of the guest's own" do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(listener)
    address = "127.0.0.1:#{port}"
    run = Wasmex.run!(path(@rust), ["patience", address, "1250"], dial: [address])
    assert run.stdout == "waits Some(1.25s) None\nerror 6\n"
  end

  test "refused, taken and not granted have their numbers" do
    port = free_port()

    dial = fn opts ->
      Wasmex.run!(path(@rust), ["dial", "127.0.0.1:#{port}", "x"], opts).stdout
    end

    assert dial.([]) == "error 2\n"
    assert dial.(dial: ["127.0.0.1:#{port}"]) == "error 14\n"
    {:ok, listener} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, taken} = :inet.port(listener)

    run =
      Wasmex.run!(path(@rust), ["serve", "127.0.0.1:#{taken}", "1"], bind: ["127.0.0.1:#{taken}"])

    assert run.stdout == "error 3\n"
  end

  test "a guest that accepts for ever ends at its deadline" do
    port = free_port()

    assert {:error, %Wasmex.Error{reason: :timeout}} =
             Wasmex.run(path(@rust), ["serve", "127.0.0.1:#{port}", "1"],
               bind: ["127.0.0.1:#{port}"],
               timeout: 200
             )

    assert {:error, :econnrefused} = :gen_tcp.connect({127, 0, 0, 1}, port, [])
  end
end
