defmodule Wasmex.CLI.Flag do
  @moduledoc false
  # An option as a flag of a Mix task, defined by the `:flag` of its row.

  alias Wasmex.Options
  alias Wasmex.Options.{Row, Type}

  @enforce_keys [:row, :switch, :usage]
  defstruct [:row, :switch, :usage, :alias]

  @type t :: %__MODULE__{
          row: Row.t(),
          switch: atom(),
          usage: String.t(),
          alias: atom()
        }

  # The flags of every task.
  @common [
    help: [type: :boolean, default: false, flag: {:help, "", :h}, doc: "show this help"],
    version: [type: :boolean, default: false, flag: :version, doc: "show the version"]
  ]

  @doc "The flags of a table, and the flags of every task."
  @spec all(Options.t()) :: [t()]
  def all(table) do
    for row <- table.rows ++ Options.table(@common, "").rows, row.flag, do: new(row)
  end

  defp new(%{flag: switch} = row) when is_atom(switch), do: new(row, switch, "", nil)
  defp new(%{flag: {switch, value}} = row), do: new(row, switch, value, nil)
  defp new(%{flag: {switch, value, short}} = row), do: new(row, switch, value, short)

  defp new(row, switch, value, short) do
    prefix = if short, do: "-#{short}, ", else: ""
    usage = String.trim_trailing("#{prefix}#{name(switch)} #{value}")
    %__MODULE__{row: row, switch: switch, usage: usage, alias: short}
  end

  @doc "The flag as it is written in a command line."
  @spec name(t() | atom()) :: String.t()
  def name(%__MODULE__{switch: switch}), do: name(switch)
  def name(switch), do: "--" <> (switch |> Atom.to_string() |> String.replace("_", "-"))

  @doc "The placeholder of its value, empty for a switch."
  @spec placeholder(t()) :: String.t()
  def placeholder(%__MODULE__{row: %{flag: flag}}) when is_tuple(flag), do: elem(flag, 1)
  def placeholder(%__MODULE__{}), do: ""

  @doc "Its values as words, if there are few."
  @spec values(t()) :: [String.t()]
  def values(%__MODULE__{row: %{type: type}}), do: type |> one_of() |> Enum.map(&to_string/1)

  defp one_of({:one_of, values}), do: values
  defp one_of({:or, _values, type}), do: one_of(type)
  defp one_of(_type), do: []

  @doc "Whether it may be repeated."
  @spec repeats?(t()) :: boolean()
  def repeats?(%__MODULE__{row: %{type: type}}), do: type != :boolean and Type.repeats?(type)

  @doc "What it does, in Markdown."
  @spec about(t()) :: String.t()
  def about(%__MODULE__{row: row}), do: row.flag_doc || row.doc || ""

  @doc "The type for `OptionParser`. Values are parsed later."
  @spec parser_type(t()) :: :boolean | :string | [:string | :keep]
  def parser_type(%__MODULE__{row: %{type: :boolean}}), do: :boolean

  def parser_type(%__MODULE__{row: %{type: type}}),
    do: if(Type.repeats?(type), do: [:string, :keep], else: :string)

  @doc """
  The flags of a table in Markdown, for the docs and the help of a task. `group` selects the flags of one group.
  """
  @spec docs(Options.t(), atom()) :: String.t()
  def docs(table, group \\ nil) do
    rows = for row <- table.rows, row.flag, group in [nil, row.group], do: row
    Enum.map_join(rows, "\n", &line(new(&1)))
  end

  defp line(%{usage: usage, row: row}),
    do: "  * `#{usage}` - #{row.flag_doc || row.doc <> default(row)}"

  defp default(%{default: nothing}) when nothing in [nil, false, [], %{}], do: ""
  defp default(row), do: ", by default #{Row.default(row)}"
end
