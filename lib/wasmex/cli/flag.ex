defmodule Wasmex.CLI.Flag do
  @moduledoc false
  # An option as a Mix task takes it: what a row's `:flag` says, such as `"-o, --output FILE"`.

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

  # Every task has these.
  @common [
    help: [type: :boolean, default: false, flag: "-h, --help", doc: "shows this help"],
    version: [type: :boolean, default: false, flag: "--version", doc: "shows the version"]
  ]

  @doc "The flags of a table, and those of every task."
  @spec all(Options.t()) :: [t()]
  def all(table) do
    for row <- table.rows ++ Options.table(@common, "").rows, row.flag, do: new(row)
  end

  # Atoms are made of this library's own rows.
  defp new(%{flag: usage} = row) do
    [_, short, long] = Regex.run(~r/\A(?:-(\w), )?--([a-z0-9-]+)/, usage)
    switch = long |> String.replace("-", "_") |> String.to_atom()
    short = if short != "", do: String.to_atom(short)
    %__MODULE__{row: row, switch: switch, usage: usage, alias: short}
  end

  @doc "The flag in a command line."
  @spec name(t()) :: String.t()
  def name(%__MODULE__{switch: switch}),
    do: "--" <> (switch |> Atom.to_string() |> String.replace("_", "-"))

  @doc "What `OptionParser` reads: types of values are checked afterwards."
  @spec parser_type(t()) :: :boolean | :string | [:string | :keep]
  def parser_type(%__MODULE__{row: %{type: :boolean}}), do: :boolean

  def parser_type(%__MODULE__{row: %{type: type}}),
    do: if(Type.repeats?(type), do: [:string, :keep], else: :string)

  @doc """
  The flags of a table in Markdown, for the docs of a task, which are its help: of one group, or of all groups.
  """
  @spec docs(Options.t(), atom()) :: String.t()
  def docs(table, group \\ nil) do
    for(%{flag: usage} = row <- table.rows, usage, group in [nil, row.group], do: line(row))
    |> Enum.join("\n")
  end

  defp line(%{flag: usage, flag_doc: nil} = row),
    do: "  * `#{usage}` - #{row.doc}#{default(row)}"

  defp line(%{flag: usage, flag_doc: doc}), do: "  * `#{usage}` - #{doc}"

  defp default(%{default: nothing}) when nothing in [nil, false, [], %{}], do: ""
  defp default(row), do: ", by default #{Row.default(row)}"
end
