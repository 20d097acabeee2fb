defmodule Bench.Peers.Report do
  @moduledoc "The tables and the chart of bench/peers."

  @works [
    {"add", "a call: `add(40, 2)`", :us},
    {"import", "a call from the guest to the host", :us},
    {"text_1k", "text of 1 KiB, in and out", :us},
    {"text_1m", "text of 1 MiB, in and out", :us},
    {"instance", "a new instance and its first call", :us},
    {"program", "a Go program from stdin to stdout", :us},
    {"memory", "memory of an instance, of 1,000", :kib},
    {"compute", "5,000,000 times SHA-256", :ms}
  ]

  @spec works() :: [String.t()]
  def works, do: for({work, _, _} <- @works, do: work)

  @chart "![The same figures as bars](bench/peers.svg)"

  # The minimum share of a core for a loop of plain Rust on an idle machine.
  @idle 0.97

  @doc "Prints both tables; a full run on an idle machine also writes them and the chart."
  @spec finish([map()], float(), boolean()) :: :ok
  def finish(hosts, share, quick?) do
    {here, missing} = Enum.split_with(hosts, &(map_size(&1.figures) > 1))
    notes = notes(here, missing, share)
    IO.puts("\n#{notes}\n\n#{ratios(here)}\n\n#{figures(here)}")
    File.write!("bench/results/peers.svg", svg(here))

    cond do
      quick? ->
        IO.puts("\nREADME.md is written by full runs only")

      share < @idle ->
        IO.puts("\nUNDER LOAD: a loop got only #{percent(share)} of its core. Nothing is written")

      true ->
        block("README.md", "#{notes}\n\n#{ratios(here)}\n\n#{@chart}")
        block("bench/README.md", "#{notes}\n\n#{figures(here)}")
        File.cp!("bench/results/peers.svg", "bench/peers.svg")
        IO.puts("\nwritten: the tables in README.md and bench/README.md, and bench/peers.svg")
    end
  end

  defp block(path, text) do
    {start, stop} = {"<!-- bench/peers begins -->\n", "<!-- bench/peers ends -->"}
    [before, rest] = path |> File.read!() |> String.split(start, parts: 2)
    [_old, later] = String.split(rest, stop, parts: 2)
    File.write!(path, before <> start <> "\n" <> text <> "\n\n" <> stop <> later)
  end

  defp notes(here, missing, share) do
    others =
      for %{figures: %{version: version}} = host when version != nil <- here,
          do: "#{host.name} #{version}"

    absent = for host <- missing, do: " #{host.name} could not be had."

    "Measured on #{Date.utc_today()} by `bench/peers` at #{commit()} on wasmtime #{wasmtime()}: #{Enum.join(others, ", ")}; " <>
      "#{System.schedulers_online()} cores, a loop of plain Rust got #{percent(share)} of its core.#{absent}"
  end

  defp commit do
    {commit, 0} = System.cmd("git", ["describe", "--always", "--dirty"])
    String.trim(commit)
  end

  defp wasmtime do
    [_, version] = Regex.run(~r/name = "wasmtime"\nversion = "(.*)"/, File.read!("Cargo.lock"))
    version
  end

  # ---- tables ----

  defp ratios([%{name: ours, figures: own} | others] = here) do
    rows =
      for {work, title, unit} <- @works, {base, _} <- [own[work]] do
        [title, text(base, unit) | for(host <- others, do: ratio(host.figures[work], base))]
      end

    table(["", ours | for(host <- tl(here), do: host.name)], rows)
  end

  defp ratio(nil, _base), do: "–"
  defp ratio({figure, _spread}, base), do: "#{digits(figure / base)}x"

  defp figures(here) do
    rows =
      for {work, title, unit} <- @works do
        [title | for(host <- here, do: figure(host.figures[work], unit))]
      end

    table(["" | for(host <- here, do: host.name)], rows)
  end

  defp figure(nil, _unit), do: "–"
  defp figure({figure, spread}, unit), do: "#{text(figure, unit)} ± #{percent(spread)}"

  defp table([_ | columns] = head, rows) do
    rule = ["---" | Enum.map(columns, fn _ -> "--:" end)]
    Enum.map_join([head, rule | rows], "\n", &("| " <> Enum.join(&1, " | ") <> " |"))
  end

  defp text(kib, :kib) when kib >= 1024, do: "#{digits(kib / 1024)} MiB"
  defp text(kib, :kib), do: "#{digits(kib)} KiB"
  defp text(ms, :ms), do: text(ms * 1000, :us)
  defp text(us, :us) when us >= 1_000_000, do: "#{digits(us / 1_000_000)} s"
  defp text(us, :us) when us >= 1000, do: "#{digits(us / 1000)} ms"
  defp text(us, :us) when us < 0.1, do: "#{digits(us * 1000)} ns"
  defp text(us, :us), do: "#{digits(us)} µs"

  # Two or three digits.
  defp digits(value) when value >= 100, do: "#{round(value)}"
  defp digits(value) when value >= 10, do: "#{Float.round(value / 1, 1)}"
  defp digits(value) when value >= 0.1, do: "#{Float.round(value / 1, 2)}"
  defp digits(value), do: "#{Float.round(value / 1, 3)}"

  defp percent(share), do: "#{round(share * 100)} %"

  # ---- chart ----

  @width 900
  @bar 18

  # A panel for each work, two in a row; bars are logarithmic, from a third of the smallest figure.
  defp svg(here) do
    panel = 34 + length(here) * @bar
    height = 40 + div(length(@works) + 1, 2) * panel

    panels =
      for {{work, title, unit}, index} <- Enum.with_index(@works) do
        x = rem(index, 2) * div(@width, 2)
        y = 40 + div(index, 2) * panel
        panel({x, y}, String.replace(title, "`", ""), bars(here, work), unit)
      end

    """
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 #{@width} #{height}" font-family="sans-serif" font-size="13">
    <style>
    text { fill: #24292f } .title { font-weight: bold } .own { fill: #1a7f37 } .other { fill: #8c959f }
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .own { fill: #3fb950 } .other { fill: #6e7681 } }
    </style>
    <text x="10" y="20" font-size="15">Wasmex and its alternatives: less is better, bars are logarithmic</text>
    #{panels}</svg>
    """
  end

  defp bars(here, work) do
    for host <- here, {figure, _spread} <- [host.figures[work]], do: {host.name, figure}
  end

  defp panel({x, y}, title, bars, unit) do
    {low, high} = bars |> Enum.map(&elem(&1, 1)) |> Enum.min_max()
    scale = 210 / :math.log(3 * high / low)

    rows =
      for {{name, figure}, index} <- Enum.with_index(bars) do
        top = y + 24 + index * @bar
        width = Float.round(:math.log(3 * figure / low) * scale, 1)
        class = if name == "Wasmex", do: "own", else: "other"

        """
        <text x="#{x + 105}" y="#{top + 11}" text-anchor="end">#{name}</text>
        <rect class="#{class}" x="#{x + 112}" y="#{top}" width="#{width}" height="#{@bar - 4}"/>
        <text x="#{Float.round(x + 118 + width, 1)}" y="#{top + 11}">#{text(figure, unit)}</text>
        """
      end

    [~s|<text class="title" x="#{x + 10}" y="#{y + 14}">#{title}</text>\n| | rows]
  end
end
