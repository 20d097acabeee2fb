defmodule Bench.Report do
  @moduledoc "The table, the JSON file and the chart of a run."

  def finish(rows, rust, quick?) do
    rows = Enum.map(rows, &judge(&1, rust))
    share = min(rust["share"], rust["share_after"])
    IO.puts(table(rows))
    File.write!("bench/results/latest.json", json(rows))
    File.write!("bench/results/latest.svg", svg(rows))
    IO.puts("\nwritten: bench/results/latest.json, bench/results/latest.svg")
    IO.puts(readme(rows, share, quick?))
  end

  # The minimum share of a core for a loop of plain Rust on an idle machine.
  @idle 0.97

  # bench/README.md has all rows, README.md the most important ones.
  defp readme(_rows, _share, true), do: "The READMEs are written by full runs only"

  defp readme(_rows, share, false) when share < @idle do
    "UNDER LOAD: a loop got only #{percent(share)} of its core. These figures are worth little; the READMEs are left as they are"
  end

  defp readme(rows, share, false) do
    measured = measured(share)
    write("README.md", measured, Enum.filter(rows, & &1.readme))
    write("bench/README.md", measured, rows)
    "written: the tables in README.md and bench/README.md"
  end

  defp write(path, measured, rows) do
    {start, stop} = {"<!-- bench/run begins -->\n", "<!-- bench/run ends -->"}
    [before, rest] = path |> File.read!() |> String.split(start, parts: 2)
    [_old, after_it] = String.split(rest, stop, parts: 2)
    block = "\n#{measured}\n\n#{table(rows)}\n\n"
    File.write!(path, before <> start <> block <> stop <> after_it)
  end

  defp measured(share) do
    "Measured on #{Date.utc_today()} by `bench/run` at #{commit()}: #{processor()}, " <>
      "#{System.schedulers_online()} cores, OTP #{System.otp_release()}, Elixir #{System.version()}; " <>
      "a loop of plain Rust got #{percent(share)} of its core."
  end

  defp commit do
    {commit, 0} = System.cmd("git", ["describe", "--always", "--dirty"])
    String.trim(commit)
  end

  defp processor do
    with {:ok, text} <- File.read("/proc/cpuinfo"),
         [_, name] <- Regex.run(~r/^model name\s*: (.*)$/m, text),
         do: name,
         else: (_ -> to_string(:erlang.system_info(:system_architecture)))
  end

  defp percent(share), do: "#{round(share * 100)} %"

  defp judge(row, rust) do
    base = row.rust && rust[row.rust]
    ratio = if base, do: row.value / base
    Map.merge(row, %{base: base, ratio: ratio, met: met(row.test, row.value, ratio)})
  end

  defp met(nil, _value, _ratio), do: nil
  defp met({:ratio, most}, _value, ratio), do: ratio <= most
  defp met({:at_most, most}, value, _ratio), do: value <= most

  # Ratios first: absolute times depend on the machine.
  defp table(rows) do
    head = ["", "to plain Rust", "Wasmex", "its CPU time", "plain Rust", "goal", "met"]
    rule = ["---", "--:", "--:", "--:", "--:", "---", "---"]

    body =
      for row <- rows do
        [
          row.name,
          if(row.ratio, do: "#{Float.round(row.ratio / 1, 2)}x", else: ""),
          number(row.value, row.unit),
          number(row.cpu, row.unit),
          number(row.base, row.unit),
          row.goal || "",
          yes_no(row.met)
        ]
      end

    Enum.map_join([head, rule | body], "\n", &("| " <> Enum.join(&1, " | ") <> " |"))
  end

  defp yes_no(nil), do: ""
  defp yes_no(true), do: "yes"
  defp yes_no(false), do: "**no**"

  defp number(nil, _unit), do: ""
  defp number(value, ""), do: "#{round(value)}"
  defp number(value, unit) when value >= 100, do: "#{round(value)} #{unit}"
  defp number(value, unit) when value < 0.01, do: "#{Float.round(value / 1, 4)} #{unit}"
  defp number(value, unit), do: "#{Float.round(value / 1, 2)} #{unit}"

  defp json(rows) do
    rows
    |> Enum.map_join(",\n", fn row ->
      "  {\"measure\": #{inspect(row.name)}, \"unit\": #{inspect(row.unit)}, \"value\": #{plain(row.value)}, \"cpu\": #{plain(row.cpu)}, " <>
        "\"rust\": #{plain(row.base)}, \"ratio\": #{plain(row.ratio)}, \"met\": #{row.met || (row.met == false && "false") || "null"}}"
    end)
    |> then(&"[\n#{&1}\n]\n")
  end

  defp plain(nil), do: "null"
  defp plain(value), do: "#{Float.round(value / 1, 6)}"

  # Bars of each ratio to plain Rust.
  defp svg(rows) do
    rows = Enum.filter(rows, & &1.ratio)
    largest = rows |> Enum.map(& &1.ratio) |> Enum.max() |> min(5.0)

    bars =
      for {row, index} <- Enum.with_index(rows) do
        y = 40 + index * 26
        width = min(row.ratio, largest) / largest * 380

        """
        <text x="250" y="#{y + 14}" text-anchor="end">#{escape(row.name)}</text>
        <rect x="260" y="#{y}" width="#{Float.round(width, 1)}" height="18" fill="#4a7"/>
        <text x="#{Float.round(266 + width, 1)}" y="#{y + 14}">#{Float.round(row.ratio / 1, 2)}x</text>
        """
      end

    one = Float.round(260 + 380 / largest, 1)
    height = 60 + length(rows) * 26

    """
    <svg xmlns="http://www.w3.org/2000/svg" width="720" height="#{height}" font-family="sans-serif" font-size="13">
    <rect width="720" height="#{height}" fill="white"/>
    <text x="20" y="22" font-size="15">Wasmex beside plain Rust wasmtime (1x), less is better</text>
    #{bars}
    <line x1="#{one}" y1="34" x2="#{one}" y2="#{height - 18}" stroke="#c33" stroke-dasharray="4 3"/>
    </svg>
    """
  end

  defp escape(text), do: text |> String.replace("&", "&amp;") |> String.replace("<", "&lt;")
end
