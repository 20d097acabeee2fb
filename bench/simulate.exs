# Nodes that serve requests; each request arrives at a node, and a policy decides where it runs; started by
# bench/simulate.
#
# Service times are measured here, on a pool; everything else is a model: a node knows the others' last heartbeat (every
# 200 ms, unsynchronised) and what it has sent there since.

defmodule Simulate do
  @moduledoc "The model: one policy at one load."

  @places 16
  @heartbeat 200_000

  @policies [:random, :told_least, :two_choices, :here_or_two]
  def policies, do: @policies

  @doc """
  Latencies in units of the mean service time, and how far the fullest node is above the mean. `times` are service times in µs, in a
  tuple. Time is in µs; the first quarter is not counted.
  """
  def run(policy, nodes, per_second, load, seconds, times) do
    :rand.seed(:exsss, {1, 2, 3})
    mean = Enum.sum(Tuple.to_list(times)) / tuple_size(times)
    # So that the load is as stated, on any machine.
    scale = load * nodes * @places * 1_000_000 / per_second / mean
    # Each place has the time at which it becomes free.
    places = for node <- 0..(nodes - 1), into: %{}, do: {node, List.duplicate(0, @places)}
    told = for node <- 0..(nodes - 1), into: %{}, do: {node, {0, 0}}
    beats = Enum.sort(for node <- 0..(nodes - 1), do: {:rand.uniform(@heartbeat), node})

    state = %{
      policy: policy,
      nodes: nodes,
      places: places,
      told: told,
      beats: :queue.from_list(beats),
      sent: %{},
      scale: scale,
      times: times,
      latencies: [],
      most: 0,
      counted: trunc(seconds * 1_000_000 / 4)
    }

    gap = 1_000_000 / per_second
    state = arrivals(state, 0.0, gap, trunc(seconds * per_second))
    mean = mean * scale
    sorted = state.latencies |> Enum.sort() |> List.to_tuple()
    at = fn part -> elem(sorted, trunc(part * (tuple_size(sorted) - 1))) / mean end

    %{
      policy: policy,
      load: load,
      p50: at.(0.5),
      p99: at.(0.99),
      p999: at.(0.999),
      fullest: state.most / (load * @places)
    }
  end

  defp arrivals(state, _now, _gap, 0), do: state

  defp arrivals(state, now, gap, left) do
    now = now - gap * :math.log(:rand.uniform())
    state = beat(state, now)
    from = :rand.uniform(state.nodes) - 1
    to = pick(state.policy, state, from, now)
    state = state |> sent(from, to) |> serve(to, now)
    arrivals(state, now, gap, left - 1)
  end

  # The last heartbeats of nodes.
  defp beat(state, now) do
    case :queue.peek(state.beats) do
      {:value, {at, node}} when at <= now ->
        beats = :queue.in({at + @heartbeat, node}, :queue.drop(state.beats))
        {epoch, _} = state.told[node]
        told = Map.put(state.told, node, {epoch + 1, busy(state, node, at)})
        beat(%{state | beats: beats, told: told}, now)

      _ ->
        state
    end
  end

  # Work in progress, in places.
  defp busy(state, node, now) do
    mean = state.scale * elem(state.times, div(tuple_size(state.times), 2))
    Enum.reduce(state.places[node], 0, fn free, sum -> sum + max(free - now, 0) / mean end)
  end

  defp pick(:random, state, _from, _now), do: :rand.uniform(state.nodes) - 1

  # The least loaded of eight by heartbeat: all nodes see the same one.
  defp pick(:told_least, state, _from, _now) do
    Enum.min_by(for(_ <- 1..8, do: :rand.uniform(state.nodes) - 1), &elem(state.told[&1], 1))
  end

  defp pick(:two_choices, state, from, _now), do: two(state, from)

  # The policy of Wasmex.Cluster.
  defp pick(:here_or_two, state, from, now) do
    if Enum.any?(state.places[from], &(&1 <= now)), do: from, else: two(state, from)
  end

  defp two(state, from) do
    [a, b] = for _ <- 1..2, do: :rand.uniform(state.nodes) - 1
    if cost(state, from, a) <= cost(state, from, b), do: a, else: b
  end

  defp cost(state, from, to) do
    {epoch, load} = state.told[to]

    case state.sent do
      %{{^from, ^to} => {^epoch, sent}} -> load + sent
      _ -> load
    end
  end

  defp sent(%{policy: policy} = state, _from, _to) when policy in [:random, :told_least],
    do: state

  defp sent(state, from, to) do
    {epoch, _} = state.told[to]

    sent =
      Map.update(state.sent, {from, to}, {epoch, 1}, fn
        {^epoch, n} -> {epoch, n + 1}
        _ -> {epoch, 1}
      end)

    %{state | sent: sent}
  end

  # First come, first served: the place that becomes free first.
  defp serve(state, node, now) do
    [free | others] = state.places[node]
    service = state.scale * elem(state.times, :rand.uniform(tuple_size(state.times)) - 1)
    done = max(free, now) + service
    places = Map.put(state.places, node, insert(done, others))
    state = %{state | places: places}

    if now > state.counted do
      waits = Enum.count(others, &(&1 > now)) + max(free - now, 0) / (service + 1)
      %{state | latencies: [done - now | state.latencies], most: max(state.most, waits)}
    else
      state
    end
  end

  defp insert(done, [other | rest]) when other < done, do: [other | insert(done, rest)]
  defp insert(done, rest), do: [done | rest]
end

defmodule Simulate.Report do
  @moduledoc "The table, and a chart of it."

  @names %{
    random: "random",
    told_least: "least loaded of eight, as told",
    two_choices: "two choices",
    here_or_two: "here, else two choices (Wasmex.Cluster)"
  }

  def print(rows) do
    IO.puts("| routing | load | p50 | p99 | p99.9 | fullest node |\n|---|---|---|---|---|---|")
    for row <- rows, do: IO.puts(line(row))
  end

  defp line(row) do
    numbers = for key <- [:p50, :p99, :p999, :fullest], do: Float.round(row[key] * 1.0, 2)
    "| #{@names[row.policy]} | #{row.load} | #{Enum.join(numbers, " | ")} |"
  end

  @doc "Bars of the p99."
  def chart(rows, title) do
    most = rows |> Enum.map(& &1.p99) |> Enum.max()

    bars =
      for {row, index} <- Enum.with_index(rows) do
        y = 40 + 24 * index
        width = 400 * row.p99 / most
        color = if row.policy == :here_or_two, do: "#6b4fbb", else: "#bbbbbb"
        text = "#{@names[row.policy]}, load #{row.load}"

        ~s|<text x="10" y="#{y + 13}">#{text}</text><rect x="330" y="#{y}" width="#{Float.round(width, 1)}" height="18" fill="#{color}"/>| <>
          ~s|<text x="#{Float.round(336 + width, 1)}" y="#{y + 13}">#{Float.round(row.p99 * 1.0, 1)}</text>|
      end

    height = 60 + 24 * length(rows)

    ~s|<svg xmlns="http://www.w3.org/2000/svg" width="800" height="#{height}" font-family="sans-serif" font-size="12">| <>
      ~s|<text x="10" y="22" font-size="14">#{title}</text>#{Enum.join(bars, "\n")}</svg>\n|
  end
end

defmodule Simulate.Measure do
  @moduledoc "Service times of a pool on this machine."

  @wat ~s|(module (func (export "work") (param $n i32) (result i32)
    (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (i32.const 7)))|

  # Requests differ: one in ten has five times the work.
  def times(count) do
    {:ok, pool} = Wasmex.Pool.start_link(source: {:bytes, @wat}, policy: {:reuse, 1_000_000})

    for n <- 1..count do
      work = if rem(n, 10) == 0, do: 500_000, else: 100_000
      {us, {:ok, [7]}} = :timer.tc(fn -> Wasmex.Pool.call(pool, "work", [work]) end)
      us
    end
    |> undisturbed()
    |> List.to_tuple()
  end

  # Outliers of ten times the median waited for other work on the machine.
  defp undisturbed(times) do
    median = times |> Enum.sort() |> Enum.at(div(length(times), 2))
    Enum.filter(times, &(&1 <= 10 * median))
  end
end

quick? = "--quick" in System.argv()
{nodes, per_second, seconds} = if quick?, do: {100, 100_000, 0.3}, else: {1_000, 1_000_000, 0.4}
times = Simulate.Measure.times(if quick?, do: 200, else: 2_000)

rows =
  for(load <- [0.7, 0.9], policy <- Simulate.policies(), do: {load, policy})
  |> Task.async_stream(
    fn {load, policy} -> Simulate.run(policy, nodes, per_second, load, seconds, times) end,
    timeout: :infinity
  )
  |> Enum.map(fn {:ok, row} -> row end)

title = "p99 in mean service times: #{nodes} nodes of 16 places, #{per_second} requests/s"
IO.puts(title)
Simulate.Report.print(rows)

unless quick? do
  File.mkdir_p!("bench/results")
  File.write!("bench/results/simulate.svg", Simulate.Report.chart(rows, title))
end
