defmodule Wasmex.Options.Docs do
  @moduledoc false
  # The options of a table, for documentation.

  alias Wasmex.Options
  alias Wasmex.Options.{Row, Type}

  @doc "A table in Markdown: a line for each option, with what it accepts, its default and its doc; of one group, or of all."
  @spec table(Options.t(), atom()) :: String.t()
  def table(%Options{rows: rows}, group \\ nil) do
    rows
    |> Enum.filter(&(not &1.internal and is_binary(&1.doc) and group in [nil, &1.group]))
    |> markdown()
  end

  defp markdown(rows),
    do:
      Enum.join(
        ["| option | accepts | default | |", "|---|---|---|---|" | Enum.map(rows, &line/1)],
        "\n"
      )

  defp line(row) do
    cells = ["`#{inspect(row.name)}`", accepts(row), Row.default(row), row.doc]
    "| #{Enum.map_join(cells, " | ", &escape/1)} |"
  end

  defp accepts(%{example: nil, type: type}), do: Type.expected(type)

  defp accepts(%{example: example, type: type}),
    do: "#{Type.expected(type)}, such as `#{example}`"

  # A cell is one line, and a bar in it would end it.
  defp escape(text), do: text |> String.replace("\n", " ") |> String.replace("|", "\\|")
end
