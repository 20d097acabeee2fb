defmodule Wasmex.HTTP.GateTest do
  use ExUnit.Case, async: true

  alias Wasmex.HTTP.Gate

  defp gate(places) do
    name = {:via, Registry, {Wasmex.HTTP.Registry, make_ref()}}
    opts = [name: name, tables: Gate.new(places), concurrency: places, queue: 1]
    start_supervised!({Gate, opts} |> Supervisor.child_spec(start: {Gate, :start_link, [opts]}))
    Gate.handle(name)
  end

  # A process that does what it is told, and dies with the test.
  defp request(gate) do
    test = self()

    pid =
      spawn_link(fn ->
        loop = fn loop ->
          receive do
            {function, args} -> send(test, {self(), apply(Gate, function, [gate | args])})
          end

          loop.(loop)
        end

        loop.(loop)
      end)

    fn function, args ->
      send(pid, {function, args})
      receive do: ({^pid, result} -> result)
    end
  end

  test "writing needs no place" do
    gate = gate(1)
    [a, b, c] = for _ <- 1..3, do: request(gate)
    assert a.(:enter, []) == :ok
    assert a.(:step_out, ["address"]) == :out
    assert b.(:enter, []) == :ok
    # There is room for one such guest of an address, and for four in all.
    assert b.(:step_out, ["address"]) == :kept
    assert b.(:step_out, [:ended]) == :out
    assert c.(:enter, []) == :ok
    assert a.(:step_in, []) == :ok
    assert c.(:step_out, ["address"]) == :out
  end

  test "guests that wait are limited in all, and those that die make room" do
    gate = gate(1)

    requests =
      for n <- 1..4 do
        request = request(gate)
        assert {n, request.(:enter, [])} == {n, :ok}
        assert {n, request.(:step_out, ["address #{n}"])} == {n, :out}
        request
      end

    last = request(gate)
    assert last.(:enter, []) == :ok
    assert last.(:step_out, ["address 5"]) == :kept
    assert hd(requests).(:leave, []) == :ok
    assert last.(:step_out, ["address 5"]) == :out
    assert last.(:leave, []) == :ok

    {pid, monitor} =
      spawn_monitor(fn ->
        :ok = Gate.enter(gate)
        :out = Gate.step_out(gate, "address 6")
      end)

    assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}
    assert last.(:enter, []) == :ok
    # The gate hears of it in its own time.
    Wasmex.Guest.wait_until(fn -> last.(:step_out, ["address 7"]) == :out end)
  end

  test "those who write are waited for when the gate is drained" do
    gate = gate(1)
    request = request(gate)
    assert request.(:enter, []) == :ok
    assert request.(:step_out, [:ended]) == :out
    task = Task.async(fn -> Gate.drain(gate.name, :infinity) end)
    refute Task.yield(task, 50)
    assert request.(:leave, []) == :ok
    assert Task.await(task, :infinity) == :ok
  end
end
