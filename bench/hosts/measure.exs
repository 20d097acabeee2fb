defmodule Bench.Hosts.Measure do
  @moduledoc "What the two hosts in Elixir share: Wasmex and ports. The hosts in other languages have the same functions."

  @spec quick?() :: boolean()
  def quick?, do: System.get_env("QUICK") != nil

  @doc "Prints a figure."
  def put(work, figure) when is_number(figure), do: put(work, Float.to_string(figure / 1))
  def put(work, text), do: IO.puts("#{work}\t#{text}")

  @doc "Microseconds of one run: twice as many runs each time, until they fill the time. The first ones warm up."
  def measure(fun) do
    fun.()
    measure(fun, 1)
  end

  defp measure(fun, n) do
    {us, _} = :timer.tc(fn -> times(n, fun) end)
    budget = if quick?(), do: 20_000, else: 300_000
    if us >= budget, do: us / n, else: measure(fun, n * 2)
  end

  defp times(0, _fun), do: :ok

  defp times(n, fun) do
    fun.()
    times(n - 1, fun)
  end

  @doc "Milliseconds of one run."
  def once(fun), do: elem(:timer.tc(fun), 0) / 1000

  def sizes, do: [{"text_1k", 1024}, {"text_1m", 1024 * 1024}]
  def input, do: String.duplicate("abcdefgh", 128)
  def rounds, do: if(quick?(), do: 100_000, else: 5_000_000)
  def instances, do: 1_000

  @doc "KiB of resident memory for each of many instances that are kept."
  def each_kib(start) do
    start.()
    :erlang.garbage_collect()
    # What compiling has used is given back by then.
    Process.sleep(500)
    before = kib("/proc/self/status", "VmRSS")
    kept = for _ <- 1..instances(), do: start.()
    used = kib("/proc/self/status", "VmRSS") - before
    true = length(kept) == instances()
    used / instances()
  end

  @doc "A field of a file of /proc, in KiB."
  def kib(path, field) do
    [_, kib] = Regex.run(~r/^#{field}:\s+(\d+) kB/m, File.read!(path))
    String.to_integer(kib)
  end
end
