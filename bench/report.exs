defmodule Bench.Report do
  @moduledoc "The table, the JSON file and the chart of a run."

  def finish(rows, rust) do
    rows = Enum.map(rows, &judge(&1, rust))
    IO.puts(table(rows))
    File.write!("bench/results/latest.json", json(rows))
    File.write!("bench/results/latest.svg", svg(rows))
    IO.puts("\nwritten: bench/results/latest.json, bench/results/latest.svg")
  end

  defp judge(row, rust) do
    base = row.rust && rust[row.rust]
    ratio = if base, do: row.value / base
    Map.merge(row, %{base: base, ratio: ratio, met: met(row.test, row.value, ratio)})
  end

  defp met(nil, _value, _ratio), do: nil
  defp met({:ratio, most}, _value, ratio), do: ratio <= most
  defp met({:at_most, most}, value, _ratio), do: value <= most

  defp table(rows) do
    head = ["measure", "Wasmex", "plain Rust", "ratio", "goal", "met"]
    rule = ["---", "--:", "--:", "--:", "---", "---"]

    body =
      for row <- rows do
        [
          row.name,
          number(row.value, row.unit),
          number(row.base, row.unit),
          if(row.ratio, do: "#{Float.round(row.ratio / 1, 2)}x", else: ""),
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
      "  {\"measure\": #{inspect(row.name)}, \"unit\": #{inspect(row.unit)}, \"value\": #{plain(row.value)}, " <>
        "\"rust\": #{plain(row.base)}, \"ratio\": #{plain(row.ratio)}, \"met\": #{row.met || (row.met == false && "false") || "null"}}"
    end)
    |> then(&"[\n#{&1}\n]\n")
  end

  defp plain(nil), do: "null"
  defp plain(value), do: "#{Float.round(value / 1, 6)}"

  # Bars of how many times plain Rust each measure takes.
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

  defp escape(text), do: String.replace(text, "&", "&amp;")
end
