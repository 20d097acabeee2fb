defmodule Wasmex.Stress.PoolTest do
  use ExUnit.Case, async: false

  @moduletag :stress
  @moduletag timeout: :infinity

  alias Wasmex.{Error, Guest, Pool}

  @callers 10_000
  @wat """
  (module
    (func (export "work") (param $n i32) (result i32)
      (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (i32.const 7)))
  """

  defp pool(opts) do
    opts =
      [source: {:bytes, @wat}, size: 2 * System.schedulers_online(), max_queue: 2 * @callers] ++
        opts

    start_supervised!({Pool, opts}, id: make_ref())
  end

  defp idle?(pool), do: match?(%{in_use: 0, waiting: 0}, Pool.stats(pool))

  # Stores of workers are closed under those who use them.
  test "#{@callers} callers, half of the workers lost every 100 ms: each has an answer, no place is lost" do
    pool = pool(policy: {:reuse, 1_000})
    slots = Pool.Handles.fetch!(pool)

    tasks =
      for _ <- 1..@callers,
          do:
            Task.async(fn -> Pool.call(pool, "work", [200_000], checkout_timeout: :infinity) end)

    saboteur =
      spawn_link(fn ->
        every(100, fn ->
          for slot <- Pool.Slots.with_workers(slots),
              rem(slot, 2) == 0,
              {_generation, instance} <- [Pool.Slots.worker(slots, slot)],
              do: Pool.Worker.Instance.close(instance)
        end)
      end)

    results = Task.await_many(tasks, :infinity)
    Guest.kill(saboteur)
    counts = Enum.frequencies_by(results, &kind/1)
    assert Enum.sum(Map.values(counts)) == @callers
    assert counts[:ok] > @callers / 2
    assert Map.keys(counts) -- [:ok, :closed, :cancelled] == []
    Guest.wait_until(fn -> idle?(pool) end)
  end

  test "users are killed in whatever state they are: the others have their answers, no place is lost" do
    pool = pool(policy: {:reuse, 1_000})

    tasks =
      for _ <- 1..div(@callers, 2),
          do: Task.async(fn -> Pool.call(pool, "work", [20_000], checkout_timeout: :infinity) end)

    # Each of these dies at another moment of its life.
    for n <- 1..div(@callers, 2) do
      pid = spawn(fn -> Pool.call(pool, "work", [20_000], checkout_timeout: :infinity) end)
      if rem(n, 3) == 0, do: for(_ <- 1..rem(n, 50), do: :erlang.yield())
      Process.exit(pid, :kill)
    end

    assert tasks |> Task.await_many(:infinity) |> Enum.uniq() == [{:ok, [7]}]
    Guest.wait_until(fn -> idle?(pool) end)
  end

  test "deadlines that pass at the moment of their turn lose no place" do
    pool = pool(policy: {:reuse, 1_000}, max_queue: 50)

    results =
      1..@callers
      |> Task.async_stream(
        fn n -> Pool.call(pool, "work", [5_000], checkout_timeout: rem(n, 3)) end,
        max_concurrency: 200,
        timeout: :infinity
      )
      |> Enum.map(fn {:ok, result} -> kind(result) end)

    assert Enum.uniq(results) -- [:ok, :timeout, :overloaded] == []
    Guest.wait_until(fn -> idle?(pool) end)
    # All places can be had.
    leases = for _ <- 1..(2 * System.schedulers_online()), do: Pool.checkout(pool, timeout: 0)
    assert Enum.all?(leases, &match?({:ok, _}, &1))
  end

  defp kind({:ok, _}), do: :ok
  defp kind({:error, %Error{reason: reason}}), do: reason

  defp every(ms, fun) do
    Process.sleep(ms)
    fun.()
    every(ms, fun)
  end
end
