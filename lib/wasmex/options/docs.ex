defmodule Wasmex.Options.Docs do
  @moduledoc false
  # Renders a table of options for the documentation.

  alias Wasmex.Options
  alias Wasmex.Options.{Row, Type}

  @doc "A Markdown table with a row per option: accepted values, default and doc. `group` selects the options of one group."
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

  # A cell is one line, and `|` would end it.
  defp escape(text), do: text |> String.replace("\n", " ") |> String.replace("|", "\\|")
end
