defmodule Wasmex.Stress.PluginTest do
  # Counts what is alive in the whole VM: nothing runs beside it.
  use ExUnit.Case, async: false

  alias Wasmex.{Error, Leaks, Plugin}

  @moduletag :stress
  @kits "test/guests/plugins"

  test "plug-ins leave nothing: made, called, failed, renewed, killed" do
    functions = %{
      "extism:host/user" => %{
        "again" => {:fn, [:bytes], [:bytes], fn _, _ -> Process.sleep(:infinity) end}
      }
    }

    {:ok, stop} = Plugin.compile("#{@kits}/stop.wasm")
    {:ok, waits} = Plugin.compile("#{@kits}/reentrant.wasm", functions: functions)
    before = Wasmex.live_objects()

    for _ <- 1..Leaks.times(300) do
      Leaks.isolated(fn ->
        {:ok, plugin} = Plugin.new(stop)
        {:ok, "1"} = Plugin.call(plugin, "count")
        {:error, _} = Plugin.call(plugin, "bad_and_trap")
        {:ok, ""} = Plugin.call(plugin, "_start")
        {:ok, "1"} = Plugin.call(plugin, "count")
        {:error, %Error{reason: :timeout}} = Plugin.call(plugin, "forever", "", timeout: 1)
      end)

      {pid, monitor} =
        spawn_monitor(fn -> waits |> Plugin.new() |> elem(1) |> Plugin.call("outer", "x") end)

      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
    end

    Leaks.assert_none(before)
  end

  test "ten thousand plug-ins wait in a host function and hold no thread" do
    test = self()
    count = 10_000

    wait = fn _, bytes ->
      send(test, :in)
      receive do: (:go -> bytes)
    end

    functions = %{"extism:host/user" => %{"again" => {:fn, [:bytes], [:bytes], wait}}}
    {:ok, compiled} = Plugin.compile("#{@kits}/reentrant.wasm", functions: functions)
    threads = fn -> length(File.ls!("/proc/self/task")) end
    before = threads.()

    pids =
      for _ <- 1..count do
        spawn_link(fn ->
          {:ok, plugin} = Plugin.new(compiled)
          {:ok, "x"} = Plugin.call(plugin, "outer", "x")
          send(test, :done)
        end)
      end

    for _ <- 1..count, do: assert_receive(:in, 60_000)
    assert threads.() <= before + 4
    for pid <- pids, do: send(pid, :go)
    for _ <- 1..count, do: assert_receive(:done, 60_000)
  end
end
