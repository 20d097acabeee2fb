defmodule Wasmex.Stress.HTTPTest do
  # Requests that all trap or run out of time, and clients that vanish: nothing may stay behind.
  use ExUnit.Case, async: false

  alias Wasmex.{Answers, Client, Leaks}
  alias Wasmex.HTTP.Server

  @moduletag :stress
  @moduletag :capture_log
  @moduletag :tmp_dir
  @moduletag timeout: 600_000

  # WASMEX_STRESS=10 makes it 10,000 of each.
  @requests Leaks.times(1_000)
  @clients 8

  setup %{tmp_dir: dir} do
    File.write!(Path.join(dir, "trap.wat"), Answers.traps())
    File.write!(Path.join(dir, "spin.wat"), Answers.spins())
    File.write!(Path.join(dir, "flood.wat"), Answers.floods())
    Logger.configure(level: :none)
    on_exit(fn -> Logger.configure(level: :debug) end)
    server = start_supervised!({Server, dir: dir, port: 0, functions: %{spin: [timeout: 2]}})
    {:ok, port: Server.port(server)}
  end

  defp load(port, count, one) do
    1..@clients
    |> Enum.map(fn _ -> Task.async(fn -> for _ <- 1..div(count, @clients), do: one.(port) end) end)
    |> Task.await_many(:infinity)
  end

  test "#{@requests} requests of each kind", %{port: port} do
    kinds = [
      fn port -> {500, _, _} = Client.get(port, "/trap") end,
      fn port -> {504, _, _} = Client.get(port, "/spin") end,
      fn port ->
        {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
        :gen_tcp.send(socket, "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        {:ok, _} = :gen_tcp.recv(socket, 0)
        :gen_tcp.close(socket)
      end
    ]

    for one <- kinds, do: load(port, 16, one)
    {objects, fds, processes, ports} = Leaks.alive()
    memory = :erlang.memory(:total)

    for one <- kinds, do: load(port, @requests, one)

    {objects_after, fds_after, processes_after, ports_after} = Leaks.alive()
    assert objects_after == objects
    assert fds_after <= fds + 2
    assert processes_after <= processes + 2
    assert ports_after <= ports + 2
    assert :erlang.memory(:total) - memory < 20_000_000
  end
end
