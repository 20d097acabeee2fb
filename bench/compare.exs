defmodule Bench.Compare do
  @moduledoc "Both parts of bench/compare: times the operations, and compares the rounds."

  def main(["measure"]) do
    {:ok, _} = Application.ensure_all_started(:wasmex)

    for {name, n, run} <- apply(Bench.Operations, :all, []),
        do: IO.puts("#{name} #{time(n, run)}")
  end

  def main(["report", folder, rounds]) do
    rounds = String.to_integer(rounds)

    [old, new] =
      for side <- ["old", "new"], do: Enum.map(1..rounds, &read("#{folder}/#{side}.#{&1}"))

    names = for {name, _} <- hd(new), List.keymember?(hd(old), name, 0), do: name

    for name <- names do
      [before, now] = for runs <- [old, new], do: Enum.map(runs, &value(&1, name))
      ratios = Enum.zip_with(now, before, &(&1 / &2)) |> Enum.sort()
      IO.puts(line(name, median(before), median(now), median(ratios), interval(ratios)))
    end
  end

  # Nanoseconds per operation, in the best of seven runs of some milliseconds.
  defp time(n, run) do
    run.(n)
    {once, _} = :timer.tc(fn -> run.(n) end)
    n = n * max(1, div(5_000, once + 1))
    best = for(_ <- 1..7, do: :timer.tc(fn -> run.(n) end) |> elem(0)) |> Enum.min()
    round(best * 1000 / n)
  end

  defp read(file) do
    for line <- file |> File.read!() |> String.split("\n", trim: true) do
      [name, value] = String.split(line)
      {name, String.to_integer(value)}
    end
  end

  defp value(run, name), do: run |> List.keyfind(name, 0) |> elem(1)

  defp median(sorted_or_not),
    do: sorted_or_not |> Enum.sort() |> Enum.at(div(length(sorted_or_not), 2))

  # For any distribution: the median is beyond the k-th smallest with a probability of at most 2.5 % on each side.
  defp interval(ratios) do
    n = length(ratios)

    case Enum.take_while(0..div(n, 2), &(below(n, &1) <= 0.025)) do
      [] -> nil
      ranks -> {Enum.at(ratios, List.last(ranks)), Enum.at(ratios, n - 1 - List.last(ranks))}
    end
  end

  # The probability that at most k of n are below the median.
  defp below(n, k), do: Enum.sum(for i <- 0..k, do: choose(n, i)) / Integer.pow(2, n)

  defp choose(_n, 0), do: 1
  defp choose(n, k), do: div(choose(n, k - 1) * (n - k + 1), k)

  defp line(name, before, now, ratio, interval) do
    interval =
      case interval do
        nil ->
          ""

        {low, high} ->
          "  [#{two(low)}, #{two(high)}]" <> if(low > 1 or high < 1, do: " *", else: "")
      end

    "#{String.pad_trailing(name, 18)} #{pad(before)} #{pad(now)}  #{two(ratio)}x#{interval}"
  end

  defp pad(number), do: number |> to_string() |> String.pad_leading(10)
  defp two(ratio), do: :erlang.float_to_binary(ratio / 1, decimals: 3)
end

Bench.Compare.main(System.argv())
