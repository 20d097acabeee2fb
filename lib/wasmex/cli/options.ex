defmodule Wasmex.CLI.Options do
  @moduledoc false
  # Parses command lines with `OptionParser`. The flags come from the rows of a table (see `Wasmex.CLI.Flag`). This module
  # adds their types, and errors that suggest the nearest flag.

  alias Wasmex.CLI.Flag
  alias Wasmex.Options
  alias Wasmex.Options.Type

  @doc """
  Parses `argv` with the flags of a table. Values have the types and names of the rows; repeatable flags are lists.

  `--help`, `-h` and `--version` are always available. With `head: true`, parsing ends at the first word that is not a
  flag: the rest belongs to a program. Returns `{:ok, options, rest}` or `{:error, text}`.
  """
  @spec parse([String.t()], Options.t(), keyword()) ::
          {:ok, keyword(), [String.t()]} | {:error, String.t()}
  def parse(argv, table, opts \\ []) do
    flags = Flag.all(table)
    strict = Enum.map(flags, &{&1.switch, Flag.parser_type(&1)})
    aliases = for %{alias: short, switch: switch} <- flags, short, do: {short, switch}
    parser = if opts[:head], do: &OptionParser.parse_head/2, else: &OptionParser.parse/2
    {found, rest, invalid} = parser.(argv, strict: strict, aliases: aliases)

    cond do
      found[:help] || found[:version] -> {:ok, Keyword.take(found, [:help, :version]), rest}
      invalid != [] -> {:error, invalid |> hd() |> problem(argv, flags)}
      true -> with {:ok, options} <- values(found, flags), do: {:ok, options, rest}
    end
  end

  # The errors of OptionParser: an unknown flag, a missing value, or a value for a flag that takes none.
  defp problem({word, value}, argv, flags) do
    case {Enum.find(flags, &named?(&1, word)), value} do
      {nil, _} ->
        unknown(word, flags)

      {%{row: %{type: :boolean}} = flag, value} ->
        "#{Flag.name(flag)}: takes no value, got #{inspect(value)}"

      {flag, nil} ->
        missing(Flag.name(flag), word, argv)
    end
  end

  defp named?(%{alias: nil} = flag, word), do: Flag.name(flag) == word
  defp named?(flag, word), do: word in [Flag.name(flag), "-#{flag.alias}"]

  # A flag in place of a value: the value is missing, or starts with a dash.
  defp missing(name, word, argv) do
    case argv |> Enum.drop_while(&(&1 != word)) |> Enum.drop(1) do
      [next | _] ->
        "#{name}: missing value before #{next}; write #{name}=#{next} if that is the value"

      [] ->
        "#{name}: missing value"
    end
  end

  defp unknown(word, flags) do
    known = Enum.map(flags, &Flag.name/1)
    nearest = Enum.max_by(known, &String.jaro_distance(word, &1))

    if String.jaro_distance(word, nearest) > 0.75,
      do: "#{word}: unknown option, did you mean #{nearest}?",
      else: "#{word}: unknown option; the options are #{Enum.join(known, ", ")}"
  end

  defp values(found, flags) do
    Enum.reduce_while(flags, {:ok, []}, fn flag, {:ok, options} ->
      with [_ | _] = words <- Keyword.get_values(found, flag.switch),
           {:ok, value} <- value(flag, words) do
        {:cont, {:ok, [{flag.row.name, value} | options]}}
      else
        [] -> {:cont, {:ok, options}}
        {:error, text} -> {:halt, {:error, "#{Flag.name(flag)}: #{text}"}}
      end
    end)
  end

  defp value(%{row: %{type: :boolean}}, values), do: {:ok, List.last(values)}

  defp value(%{row: %{type: type}}, words) do
    if Type.repeats?(type),
      do: with({:ok, values} <- parse_all(type, words), do: check(type, values)),
      else: with({:ok, value} <- Type.parse(type, List.last(words)), do: check(type, value))
  end

  defp parse_all(type, words) do
    Enum.reduce_while(words, {:ok, []}, fn word, {:ok, values} ->
      case Type.parse(type, word) do
        {:ok, value} -> {:cont, {:ok, values ++ [value]}}
        error -> {:halt, error}
      end
    end)
  end

  # Returns the value as written: the function that receives it casts it again.
  defp check(type, value) do
    case Type.cast(type, value) do
      {:ok, _} -> {:ok, value}
      {:error, _at, expected, got} -> {:error, "expected #{expected}, got #{inspect(got)}"}
    end
  end
end
