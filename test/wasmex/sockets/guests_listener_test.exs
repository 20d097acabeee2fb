defmodule Wasmex.Sockets.GuestsListenerTest do
  # Go by its standard library alone: it serves on listeners that it is handed.
  use ExUnit.Case, async: true

  import Wasmex.SocketGuests

  alias Wasmex.{Client, Program, Socket}

  @listener "go/listener"

  defp serve(args, opts), do: start(@listener, args, ~r/(serving on \d+)\n/, opts)

  test "a listener is descriptor 3" do
    {:ok, listener} = Socket.listen("tcp://127.0.0.1:0")
    {pid, ["serving on 3"]} = serve([], listen: [listener])
    assert {200, "/x on 3\n"} = get(Socket.port(listener), "/x")
    assert {200, "/quit on 3\n"} = get(Socket.port(listener), "/quit")
    assert ended(pid) == {:exit_status, 0}
  end

  test "a listener by its address alone" do
    port = free_port()
    {pid, ["serving on 3"]} = serve([], listen: ["tcp://127.0.0.1:#{port}"])
    assert {200, "/x on 3\n"} = get(port, "/x")
    :ok = Program.stop(pid)
    assert {:error, :econnrefused} = :gen_tcp.connect({127, 0, 0, 1}, port, [])
  end

  test "several listeners, behind the directories" do
    {:ok, first} = Socket.listen("tcp://127.0.0.1:0")
    {:ok, second} = Socket.listen("tcp://127.0.0.1:0")
    {pid, _} = serve(["4", "5"], dirs: %{"/d" => "lib"}, listen: [first, second])
    assert {200, "/x on 4\n"} = get(Socket.port(first), "/x")
    assert {200, "/x on 5\n"} = get(Socket.port(second), "/x")
    Program.stop(pid)
  end

  test "many clients at once" do
    {:ok, listener} = Socket.listen("tcp://127.0.0.1:0")
    {pid, _} = serve([], listen: [listener])
    port = Socket.port(listener)

    answers =
      1..100 |> Enum.map(&Task.async(fn -> get(port, "/#{&1}") end)) |> Task.await_many(60_000)

    assert answers == for(n <- 1..100, do: {200, "/#{n} on 3\n"})
    Program.stop(pid)
  end

  test "without a listener the guest is told that there is none" do
    {:ok, run} = Wasmex.run(path(@listener), [])
    assert {run.status, run.stdout =~ "error:"} == {1, true}
  end

  test "a listener in memory is reached without a port" do
    name = {:pipe, {__MODULE__, self()}}
    {pid, _} = serve([], listen: [name])
    {:ok, socket} = Socket.connect(name)
    :ok = Socket.send(socket, "GET /memory HTTP/1.0\r\n\r\n")
    assert read_all(socket) =~ "/memory on 3\n"
    Program.stop(pid)
  end

  test "a listener outlives its guest: what connects in between is answered by the next one" do
    {:ok, listener} = Socket.listen("tcp://127.0.0.1:0")
    port = Socket.port(listener)
    {pid, _} = serve([], listen: [listener])
    assert {200, _} = get(port, "/quit")
    assert ended(pid) == {:exit_status, 0}
    waiting = Client.begin(port, "/waiting")
    {pid, _} = serve([], listen: [listener])
    assert Client.read(waiting, "", &(&1 =~ "on 3")) =~ "/waiting on 3"
    Program.stop(pid)
  end

  defp read_all(socket, read \\ "") do
    case Socket.recv(socket, 0, 60_000) do
      {:ok, bytes} -> read_all(socket, read <> bytes)
      {:error, _} -> read
    end
  end
end
