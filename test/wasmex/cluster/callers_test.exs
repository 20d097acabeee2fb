defmodule Wasmex.Cluster.CallersTest do
  # One process per node.
  use ExUnit.Case, async: false

  alias Wasmex.Cluster.Callers
  alias Wasmex.Guest

  setup do
    start_supervised!(Callers)
    :ok
  end

  defp sleeper, do: spawn(fn -> Process.sleep(:infinity) end)

  defp runner(caller) do
    test = self()

    spawn(fn ->
      Callers.enter(caller)
      send(test, {:entered, self()})
      Process.sleep(:infinity)
    end)
  end

  defp rows, do: :ets.tab2list(Callers)

  # Idle ones are removed with the second look at the latest.
  defp look(n) do
    for _ <- 1..n, do: send(Callers, :look)
    :sys.get_state(Callers)
  end

  test "a call ends with its caller, and leaves nothing behind" do
    caller = sleeper()
    runners = for _ <- 1..3, do: runner(caller)
    for pid <- runners, do: assert_receive({:entered, ^pid}, 30_000)
    assert Callers.count() == 3
    Guest.kill(caller)
    Guest.wait_until(fn -> not Enum.any?(runners, &Process.alive?/1) end)
    assert rows() == []
  end

  test "one that has left is not killed; its monitor is kept for a while, then forgotten" do
    caller = sleeper()
    Callers.enter(caller)
    Callers.leave(caller)
    :sys.get_state(Callers)
    assert rows() == [{{:monitored, caller}}]
    assert Callers.count() == 0
    assert look(1).monitors == %{}
    assert rows() == []
    # The next call asks for a monitor again.
    pid = runner(caller)
    assert_receive {:entered, ^pid}, 30_000
    assert map_size(look(3).monitors) == 1
    Guest.kill(caller)
    Guest.wait_until(fn -> not Process.alive?(pid) end)
  end

  test "calls of a node that is not in a cluster need nothing" do
    stop_supervised!(Callers)
    assert Callers.enter(self()) == :ok
    assert Callers.leave(self()) == :ok
  end

  test "a caller that is dead already ends its call" do
    caller = sleeper()
    Guest.kill(caller)
    pid = runner(caller)
    Guest.wait_until(fn -> not Process.alive?(pid) end)
    assert rows() == []
  end

  # Callers die and are forgotten while calls begin.
  test "whenever a caller dies, its calls end" do
    for seed <- 1..150 do
      :rand.seed(:exsss, {seed, 2, 3})
      callers = for _ <- 1..4, do: sleeper()

      runners =
        for _ <- 1..20 do
          caller = Enum.random(callers)
          pid = runner(caller)

          case :rand.uniform(12) do
            1 -> Process.exit(caller, :kill)
            2 -> Process.exit(pid, :kill)
            3 -> send(Callers, :look)
            4 -> :erlang.yield()
            _ -> :ok
          end

          {caller, pid}
        end

      {dead, alive} = Enum.split_with(callers, &(not Process.alive?(&1)))

      Guest.wait_until(fn ->
        Enum.all?(runners, fn {caller, pid} -> caller not in dead or not Process.alive?(pid) end)
      end)

      for pid <- alive, do: Process.exit(pid, :kill)
      Guest.wait_until(fn -> not Enum.any?(runners, fn {_, pid} -> Process.alive?(pid) end) end)
    end

    Guest.wait_until(fn -> look(1).monitors == %{} and rows() == [] end)
  end
end
