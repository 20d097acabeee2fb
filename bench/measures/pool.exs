defmodule Bench.Pool do
  @moduledoc "The cost of a pool compared with a direct call, and its queue."

  import Bench
  alias Wasmex.{Instance, Pool}

  @wat """
  (module
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "work") (param $n i32) (result i32)
      (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (i32.const 7)))
  """
  @callers 10_000
  @work 300_000

  def run(quick?) do
    n = if quick?, do: 20_000, else: 300_000
    {_store, instance} = guest()
    direct = per_op(n, &direct(instance, &1))
    {:ok, reused} = Pool.start_link(source: {:bytes, @wat}, policy: {:reuse, 1_000_000_000})
    {:ok, fresh} = Pool.start_link(source: {:bytes, @wat})
    pooled = per_op(n, &calls(reused, &1))

    [
      row("Pool.call of add, reused", pooled, "µs",
        goal: "2.5x the direct call (#{Float.round(2.5 * direct, 2)} µs)",
        test: {:at_most, 2.5 * direct},
        readme: true
      ),
      row("Pool.call of add, fresh", per_op(div(n, 20), &calls(fresh, &1)), "µs"),
      row("10,000 callers on 2 x cores places: p99 by the work in front", queued(quick?), "",
        goal: "1.2",
        test: {:at_most, 1.2}
      )
    ]
  end

  defp direct(_instance, 0), do: :ok

  defp direct(instance, n) do
    {:ok, _} = Instance.call(instance, "add", [40, 2])
    direct(instance, n - 1)
  end

  defp calls(_pool, 0), do: :ok

  defp calls(pool, n) do
    {:ok, _} = Pool.call(pool, "add", [40, 2])
    calls(pool, n - 1)
  end

  # All arrive at once. The 99th of a hundred has 99 % of the work in front of it, shared by the cores.
  defp queued(quick?) do
    callers = if quick?, do: 1_000, else: @callers

    {:ok, pool} =
      Pool.start_link(
        source: {:bytes, @wat},
        policy: {:reuse, 1_000_000_000},
        max_queue: 2 * callers
      )

    {:ok, [7]} = Pool.call(pool, "work", [@work])
    one = per_op(50, fn n -> for _ <- 1..n, do: Pool.call(pool, "work", [@work]) end)
    began = System.monotonic_time(:microsecond)

    latencies =
      1..callers
      |> Enum.map(fn _ ->
        Task.async(fn ->
          {:ok, _} = Pool.call(pool, "work", [@work], checkout_timeout: :infinity)
          System.monotonic_time(:microsecond) - began
        end)
      end)
      |> Task.await_many(:infinity)

    percentile(latencies, 99) / (0.99 * callers * one / System.schedulers_online())
  end
end
