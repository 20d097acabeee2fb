defmodule Wasmex.Stress.HTTPTest do
  # Requests that all trap or run out of time, and clients that vanish: nothing may stay behind.
  use ExUnit.Case, async: false

  alias Wasmex.{Answers, Client}
  alias Wasmex.HTTP.Server

  @moduletag :stress
  @moduletag :capture_log
  @moduletag timeout: 600_000

  # WASMEX_STRESS=10 makes it 10,000 of each.
  @requests 1_000 * String.to_integer(System.get_env("WASMEX_STRESS", "1"))
  @clients 8

  setup do
    dir = Path.join(System.tmp_dir!(), "wasmex-http-stress-#{System.unique_integer([:positive])}")
    File.mkdir_p!(dir)
    on_exit(fn -> File.rm_rf!(dir) end)
    File.write!(Path.join(dir, "trap.wat"), Answers.traps())
    File.write!(Path.join(dir, "spin.wat"), Answers.spins())
    File.write!(Path.join(dir, "flood.wat"), Answers.floods())
    Logger.configure(level: :none)
    on_exit(fn -> Logger.configure(level: :debug) end)
    server = start_supervised!({Server, dir: dir, port: 0, functions: %{spin: [timeout: 2]}})
    {:ok, port: Server.port(server)}
  end

  defp alive do
    for _ <- 1..20 do
      Enum.each(Process.list(), &:erlang.garbage_collect/1)
      Process.sleep(10)
    end

    objects = Keyword.take(Wasmex.live_objects(), [:store, :instance, :execution, :pipe, :memory])
    {objects, length(File.ls!("/proc/self/fd")), length(Process.list()), length(Port.list())}
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
    {objects, fds, processes, ports} = alive()
    memory = :erlang.memory(:total)

    for one <- kinds, do: load(port, @requests, one)

    {objects_after, fds_after, processes_after, ports_after} = alive()
    assert objects_after == objects
    assert fds_after <= fds + 2
    assert processes_after <= processes + 2
    assert ports_after <= ports + 2
    assert :erlang.memory(:total) - memory < 20_000_000
  end
end
