defmodule Wasmex.Pool.QueueTest do
  use ExUnit.Case, async: true

  alias Wasmex.Pool.Queue

  # Against the plainest thing that could be one: a list. Seeded, so that what fails fails again.
  test "does what a list does" do
    for seed <- 1..200 do
      :rand.seed(:exsss, {seed, 2, 3})
      most = Enum.random(1..8)

      Enum.reduce(1..60, {Queue.new(most), [], MapSet.new()}, fn _, state -> step(state, most) end)
    end
  end

  # The model: `{ref, key}` in the order of coming, and the keys that have no room.
  defp step({queue, list, shut} = state, most) do
    case Enum.random([:put, :put, :pop, :delete, :toggle]) do
      :put ->
        if Queue.full?(queue) do
          assert length(list) == most
          state
        else
          {ref, key} = {make_ref(), Enum.random(0..2)}
          checked({Queue.put(queue, ref, {self(), 1, key}), list ++ [{ref, key}], shut})
        end

      :pop ->
        pop(state, most)

      :delete ->
        delete(state)

      :toggle ->
        key = Enum.random(1..2)

        if key in shut,
          do: checked({unpark_all(queue, key), list, MapSet.delete(shut, key)}),
          else: {queue, list, MapSet.put(shut, key)}
    end
  end

  defp unpark_all(queue, key) do
    case Queue.unpark(queue, key) do
      ^queue -> queue
      queue -> unpark_all(queue, key)
    end
  end

  defp pop({queue, list, shut}, _most) do
    may = Enum.reject(list, fn {_ref, key} -> key in shut end)

    case Queue.pop(queue, &(&1 not in shut)) do
      {nil, queue} ->
        assert may == []
        # All that are left wait for their key.
        assert Queue.waiting(queue) == 0
        checked({queue, list, shut})

      {ref, {_from, 1, key}, queue} ->
        assert {ref, key} in may
        checked({queue, List.delete(list, {ref, key}), shut})
    end
  end

  defp delete({queue, [], shut}) do
    assert {false, ^queue} = Queue.delete(queue, make_ref())
    {queue, [], shut}
  end

  defp delete({queue, list, shut}) do
    {ref, _} = gone = Enum.random(list)
    assert {true, queue} = Queue.delete(queue, ref)
    assert {false, ^queue} = Queue.delete(queue, ref)
    checked({queue, List.delete(list, gone), shut})
  end

  defp checked({queue, list, _shut} = state) do
    assert Queue.size(queue) == length(list)
    assert length(Queue.waiters(queue)) == length(list)
    assert Queue.waiting(queue) in 0..length(list)
    state
  end

  test "in the order of coming, until more than half of the room is taken" do
    queue = Enum.reduce(1..4, Queue.new(4), &Queue.put(&2, &1, {self(), 1, 0}))
    {4, _, queue} = Queue.pop(queue, fn _ -> true end)
    {3, _, queue} = Queue.pop(queue, fn _ -> true end)
    {1, _, queue} = Queue.pop(queue, fn _ -> true end)
    {2, _, queue} = Queue.pop(queue, fn _ -> true end)
    assert {nil, _} = Queue.pop(queue, fn _ -> true end)
  end

  test "those that left are forgotten" do
    queue =
      Enum.reduce(1..10_000, Queue.new(100), fn n, queue ->
        {true, queue} = queue |> Queue.put(n, {self(), 1, 0}) |> Queue.delete(n)
        queue
      end)

    assert :queue.len(queue.order) < 100
  end
end
