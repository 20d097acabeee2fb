defmodule Bench.Latency do
  @moduledoc "Effects of guests on others: timers of an unrelated process, and how fast a guest is stopped."

  import Bench
  alias Wasmex.{Instance, Store}

  def run(quick?) do
    count = if quick?, do: 300, else: 3_000
    idle = timers(count)
    spinners = for _ <- 1..4, do: spinner()
    busy = timers(count)
    for pid <- spinners, do: Process.exit(pid, :kill)
    {idle_p99, busy_p99} = {percentile(idle, 99), percentile(busy, 99)}

    [
      row("1 ms timer, idle, p99", idle_p99, "ms"),
      row("1 ms timer, 4 guests spin, p99", busy_p99, "ms",
        goal: "idle + 1 ms",
        test: {:at_most, idle_p99 + 1},
        readme: true
      ),
      row("kill until the store answers, max", Enum.max(stops(:kill, quick?)), "ms",
        goal: "5 ms",
        test: {:at_most, 5},
        readme: true
      ),
      row("timeout overrun, max", Enum.max(stops(:timeout, quick?)), "ms",
        goal: "5 ms",
        test: {:at_most, 5}
      )
    ]
  end

  defp timers(count) do
    Task.async(fn ->
      for _ <- 1..count do
        started = System.monotonic_time(:microsecond)
        Process.send_after(self(), :tick, 1)
        receive(do: (:tick -> :ok))
        (System.monotonic_time(:microsecond) - started) / 1000
      end
    end)
    |> Task.await(:infinity)
  end

  defp spinner do
    {_store, instance} = guest()
    spawn(fn -> Instance.call(instance, "spin", []) end)
  end

  # From the signal until a call by another process on the same store returns.
  defp stops(:kill, quick?) do
    {store, instance} = guest()

    samples =
      for _ <- 1..if(quick?, do: 20, else: 300) do
        pid = spawn(fn -> Instance.call(instance, "spin", []) end)
        Process.sleep(2)
        started = System.monotonic_time(:microsecond)
        Process.exit(pid, :kill)
        {:ok, [42]} = Instance.call(instance, "add", [40, 2])
        (System.monotonic_time(:microsecond) - started) / 1000
      end

    Store.close(store)
    samples
  end

  defp stops(:timeout, quick?) do
    {store, instance} = guest()

    samples =
      for _ <- 1..if(quick?, do: 20, else: 300) do
        {microseconds, {:error, _}} =
          :timer.tc(fn -> Instance.call(instance, "spin", [], timeout: 5) end)

        microseconds / 1000 - 5
      end

    Store.close(store)
    samples
  end
end
