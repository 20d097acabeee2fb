defmodule Wasmex.Options.Docs do
  @moduledoc false
  # The options of a table, for documentation.

  alias Wasmex.Options
  alias Wasmex.Options.{Row, Type}

  @doc "A table in Markdown: a line for each option, with what it accepts, its default and its doc."
  @spec table(Options.t()) :: String.t()
  def table(%Options{rows: rows}), do: rows |> Enum.filter(& &1.doc) |> markdown()

  @doc "The same of the rows of one group."
  @spec table(Options.t(), String.t()) :: String.t()
  def table(%Options{rows: rows}, group),
    do: rows |> Enum.filter(&(&1.doc && &1.group == group)) |> markdown()

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
